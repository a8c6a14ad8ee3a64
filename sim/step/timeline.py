"""How long a list of instructions takes: engines that wait for marks, for each other's tiles, for memory."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from cpt.hw.contract import ContractError
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import units
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Code, Engine, Word, decode
from cpt.sim.step.costs import DISPATCH_CYCLES, Costs

WAITS = (0, 1)
MEMORY, LANES, PROGRAM = "memory", "lanes", "program"
"""What an engine waits for beside other engines."""


@dataclass
class Timing:
    """What a list took, in cycles."""

    cycles: int = 0
    busy: Counter[str] = field(default_factory=Counter)
    """Of each engine, and of the lanes and the memory."""
    waits: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each engine: what it waited for, by who came last."""
    read: int = 0
    written: int = 0
    """Bytes."""
    instructions: Counter[str] = field(default_factory=Counter)


@dataclass
class _Engine:
    engine: Engine
    queue: deque[tuple[int, Word]] = field(default_factory=deque)
    """Instructions with the cycle in which they arrive."""
    unit: int = 0
    """Of the instruction in front."""
    free: float = 0.0
    """When it can take the next unit."""
    stream: int = 0
    """`Cost.stream` of the last unit."""
    times: list[float] = field(default_factory=list)
    """When each unit ended: what its mark tells."""
    ended: list[float] = field(default_factory=list)
    """When each instruction ended."""


class Timeline:
    """Runs lists for their time alone, unit by unit in the order of their beginnings.

    A unit begins when its engine is free, its marks are there, what it takes from the engine before is there
    and what it fills is empty. Memory serves one after the other, ``memory_bytes`` a cycle, and so do the
    lanes, a word a cycle; the first answer of memory comes after ``latency`` cycles.
    """

    def __init__(self, costs: Costs, *, memory_bytes: float, latency: int) -> None:
        self.costs, self.memory_bytes, self.latency = costs, memory_bytes, latency
        self._reset()

    def _reset(self) -> None:
        self._engines = {engine: _Engine(engine) for engine in Engine}
        self._server = dict.fromkeys((MEMORY, LANES), 0.0)
        self._released: list[float] = []
        """When each slot of the window memories was given back."""
        self._taken = 0
        """Slots that instructions before the EXEC in front took."""

    def run(self, words: bytes) -> Timing:
        """One list; raises `ContractError` if nothing can go on."""
        self._reset()
        found = Timing(waits={engine.name: Counter() for engine in Engine})
        for index in range(len(words) // WORD_BYTES):
            word = decode(words[WORD_BYTES * index : WORD_BYTES * (index + 1)])
            self._engines[ENGINES[word.code]].queue.append((index * DISPATCH_CYCLES, word))
            found.instructions[ENGINES[word.code].name] += 1
        while any(engine.queue for engine in self._engines.values()):
            ready = []
            for engine in self._engines.values():
                start = self._start(engine) if engine.queue else None
                if start is not None:
                    ready.append((*start, engine))
            if not ready:
                raise ContractError("program stands still; allowed: waits for what stands before")
            begin, why, engine = min(ready, key=lambda item: item[0])
            self._serve(engine, begin, why, found)
        found.cycles = round(
            max((each.times[-1] for each in self._engines.values() if each.times), default=0)
        )
        return found

    def _start(self, engine: _Engine) -> tuple[float, str] | None:
        """When the engine's next unit can begin, and what it waits for last; None: nobody knows yet."""
        arrived, word = engine.queue[0]
        begin, why = engine.free, engine.engine.name
        if arrived > begin:
            begin, why = arrived, PROGRAM
        if engine.times and not (engine.stream and self.costs.of(word).stream == engine.stream):
            begin = max(begin, engine.times[-1])
        for name, times, index in self._needs(engine, word):
            if index >= len(times):
                return None
            if index >= 0 and times[index] > begin:
                begin, why = times[index], name
        return begin, why

    def _needs(self, engine: _Engine, word: Word) -> list[tuple[str, list[float], int]]:
        """What the next unit needs: whose, when each of it was there, and which; below 0: nothing."""
        unit, engines = engine.unit, self._engines
        needs = []
        for index in WAITS:
            waited = word.values[f"wait{index}_engine"]
            if waited:
                mark = word.values[f"wait{index}_first"] + unit * word.values[f"wait{index}_step"]
                needs.append((Engine(waited).name, engines[Engine(waited)].times, mark - 1))
        done, instruction = len(engine.times), len(engine.ended)
        executed = engines[Engine.EXEC]
        if engine.engine is Engine.LOAD:
            needs.append((Engine.EXEC.name, executed.ended, instruction - MACHINE.halves))
        elif engine.engine is Engine.FETCH:
            needs.append((Engine.EXEC.name, self._released, done - self.costs.slots_of(word)))
        elif engine.engine is Engine.EXEC:
            tile = 0 if word.code is Code.EXEC_DW else unit // word.a_tiles
            needs += [
                (Engine.LOAD.name, engines[Engine.LOAD].times, instruction),
                (Engine.FETCH.name, engines[Engine.FETCH].times, self._taken + tile),
                (Engine.DRAIN.name, engines[Engine.DRAIN].times, done - MACHINE.result_tiles),
            ]
        elif engine.engine is Engine.DRAIN:
            needs.append((Engine.EXEC.name, executed.times, done))
        return needs

    def _serve(self, engine: _Engine, begin: float, why: str, found: Timing) -> None:
        """Let the next unit of an engine happen."""
        _, word = engine.queue[0]
        name, cost = engine.engine.name, self.costs.of(word)
        if begin > engine.free:
            found.waits[name][why] += round(begin - engine.free)
        end = begin + cost.cycles
        if cost.lanes:
            turn = max(begin, self._server[LANES])
            self._server[LANES] = turn + cost.lanes
            end = max(end, turn + cost.lanes)
            found.busy[LANES] += cost.lanes
        size = cost.read + cost.written
        if size:
            turn = max(begin, self._server[MEMORY])
            self._server[MEMORY] = turn + size / self.memory_bytes
            end = max(end, self._server[MEMORY])
            found.busy[MEMORY] += round(size / self.memory_bytes)
            found.read += cost.read
            found.written += cost.written
        free = end
        if size and engine.unit == 0:
            end += self.latency
            free = free if cost.stream else end
        if end > begin + cost.cycles:
            found.waits[name][MEMORY if size else LANES] += round(end - begin - cost.cycles)
        found.busy[name] += cost.cycles
        engine.free, engine.stream = free, cost.stream
        engine.times.append(end)
        engine.unit += 1
        self._release(engine, word, end)
        if engine.unit == units(self.costs.config, word):
            engine.queue.popleft()
            engine.ended.append(end)
            engine.unit = 0

    def _release(self, engine: _Engine, word: Word, end: float) -> None:
        """Slots of the window memories that an EXEC gives back."""
        if engine.engine is not Engine.EXEC:
            return
        last = engine.unit == units(self.costs.config, word)
        if word.code is Code.EXEC and engine.unit % word.a_tiles == 0:
            self._released.append(end)
        if word.code is Code.EXEC_DW and last:
            self._released.append(end)
        if last:
            self._taken = len(self._released)
