"""How long a list of instructions takes: its engines in cycles, each by the rules of its RTL."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cpt.hw.contract.config import BEAT_BYTES, require
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Engine, decode
from cpt.hw.step.memory import PORTS
from cpt.sim.step.costs import Costs
from cpt.sim.step.timing import fetch, lanes
from cpt.sim.step.timing.array import array
from cpt.sim.step.timing.channel import channel
from cpt.sim.step.timing.load import load
from cpt.sim.step.timing.move import bring, store
from cpt.sim.step.timing.ports import Master, Memory, Writer
from cpt.sim.step.timing.program import program
from cpt.sim.step.timing.reading import Reading
from cpt.sim.step.timing.run import LANES, MEMORY, Log, Moment, Run, go

__all__ = ["LANES", "MEMORY", "Moment", "Timeline", "Timing"]


@dataclass
class Timing:
    """What a list took, in cycles from its RUN to the last mark."""

    cycles: int = 0
    busy: Counter[str] = field(default_factory=Counter)
    """Of each engine, and of the lanes and the memory."""
    waits: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each engine: what it waited for, by who came last."""
    read: int = 0
    written: int = 0
    """Bytes."""
    instructions: Counter[str] = field(default_factory=Counter)
    moments: list[Moment] = field(default_factory=list)
    """Of each instruction."""
    log: Log | None = None
    """Where in time work and waits lie, if that was asked for."""


class Timeline:
    """Times lists, for an array and what its slots hold.

    ``memory_bytes``: of memory, a cycle, over all ports; ``latency``: from an address to its first beat;
    ``write_latency``: from a burst's last beat to its answer.
    """

    def __init__(self, costs: Costs, *, memory_bytes: float, latency: int, write_latency: int | None = None):
        self.costs, self.memory_bytes, self.latency = costs, memory_bytes, latency
        self.write_latency = latency if write_latency is None else write_latency

    def run(self, words: bytes, *, logged: bool = False) -> Timing:
        """One list; ``logged``: with a log. Raises `ContractError` if nothing can go on."""
        costs, run = self.costs, Run(self.costs.config, log=Log() if logged else None)
        require(
            costs.config.scratch_words > 0, "scratch_words is 0; allowed: those of a machine of whole steps"
        )
        for at in range(0, len(words), WORD_BYTES):
            word = decode(words[at : at + WORD_BYTES])
            run.moments.append(Moment(word, ENGINES[word.code], len(run.moments)))
        memory = Memory(self.latency, self.write_latency, self.memory_bytes / BEAT_BYTES)
        read_0, read_1 = memory.port(), memory.port()
        writers = [Writer(memory.port(writes=True), shared=port == 0) for port in range(PORTS)]
        timed, fills = lanes.Timed(run), list[fetch.Fill]()
        planes = Reading((Master(read_1, 2), Master(read_0, 2)), fetch.AHEAD)
        packed = lanes.Packed(run, costs, writers)
        count = sum(len(fetch.pairs(moment.word)) for moment in run.of(Engine.FETCH))
        go(
            [
                program(run, self.latency, Master(read_0, 2)),
                load(run, costs, Master(read_0, 2), (Master(read_1, 2), Master(read_0, 2))),
                fetch.fetch(run, costs, planes, fills),
                fetch.fill(run, costs, planes, fills, count),
                array(run, costs),
                lanes.drain(run, timed),
                lanes.apply(run, timed, packed),
                *packed.processes(),
                bring(run, costs, Master(read_1, 1), (Master(read_0, 2), Master(read_1, 2))),
                store(run, costs, writers[0]),
                channel(run),
            ]
        )
        if run.log:
            run.log.memory = [memory.used[at] for at in range(max(memory.used, default=-1) + 1)]
        found = Timing(
            busy=run.busy,
            waits={engine.name: waits for engine, waits in run.waits.items()},
            instructions=Counter(moment.engine.name for moment in run.moments),
            moments=run.moments,
            log=run.log,
        )
        # Beats of all ports together, as cycles of the memory.
        found.busy[MEMORY] = round(found.busy[MEMORY] / memory.beats_per_cycle)
        found.busy[LANES] = found.busy[Engine.DRAIN.name] + found.busy[Engine.APPLY.name]
        found.cycles = max((moment.ended for moment in run.moments), default=0)
        found.read = sum(moment.read for moment in run.moments)
        found.written = sum(moment.written for moment in run.moments)
        return found
