"""Lists of a training step with every cycle attributed: of the model, or seen on the compiled RTL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cpt.host.compiler.network import BACKWARD, Programs, compiled, of_step
from cpt.host.config import TrainConfig, resnet_depth
from cpt.host.fabric import FabricTrainer, precision_slots
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.config import BEAT_BYTES
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import memory_model
from cpt.sim.step.by_layer import labelled
from cpt.sim.step.called import bits_of, called
from cpt.sim.step.forecast import timeline
from cpt.sim.step.state import Slot
from cpt.sim.step.timing.ports import STRETCH_CYCLES
from cpt.sim.step.timing.run import Moment
from cpt.sim.step.trace import STATES, Track, coarser, of_model, of_rtl

CLASSES, CHANNELS, RATE = 10, 3, 0.05
MEMORY_BYTES = 1 << 26
"""Of the simulated memory."""
MEMORY_POINTS = 2000
"""Of the memory's curve, at most."""


class Label(NamedTuple):
    """What an instruction works for, and what it is."""

    layer: str
    which: str
    """Pass."""
    called: str
    bits: str


@dataclass(frozen=True)
class Traced:
    """A list, engine by engine."""

    name: str
    cycles: int
    tracks: list[Track]
    labels: list[Label]
    """Of each instruction."""
    memory: list[float] = field(default_factory=list)
    """Share of its beats that memory moves, over the list; empty where nothing is known of it."""
    coarse: tuple[str, ...] = ()
    """Tracks in which spans of an instruction are in order of what they are, not of time."""

    @property
    def spans(self) -> int:
        """How many there are."""
        return sum(len(track.spans) for track in self.tracks)

    @cached_property
    def waits(self) -> dict[tuple[str, int], Counter[str]]:
        """Cycles that each instruction waited, by its track and number: for whom."""
        found: dict[tuple[str, int], Counter[str]] = {}
        for track in self.tracks:
            for span in track.spans:
                if span.what not in STATES:
                    waits = found.setdefault((track.name, span.number), Counter())
                    waits[span.what] += span.end - span.begin
        return found

    def in_short(self, most: int) -> Traced:
        """With the longest tracks coarser, until there are at most so many spans."""
        found, left = {track.name: track for track in self.tracks}, self.spans
        coarse = []
        for track in sorted(self.tracks, key=lambda track: len(track.spans), reverse=True):
            if left <= most:
                break
            short = coarser(track)
            if len(short.spans) < len(track.spans):
                found[track.name] = short
                left -= len(track.spans) - len(short.spans)
                coarse.append(track.name)
        return replace(self, tracks=list(found.values()), coarse=tuple(coarse))


class Step:
    """A network's step on a machine; ``config`` has its micro-batch settled.

    Raises `ContractError` for what the machine does not take.
    """

    def __init__(self, array: ArrayConfig, memory: str, config: TrainConfig, size: int) -> None:
        self.array, self.memory, self.config, self.size = array, memory, config, size
        self.bits = config.fw[1], config.bw
        self.programs: Programs = compiled(
            array,
            self.network(),
            images=config.micro_batch,
            micro_batches=self.micro_batches,
            scratch_words=array.scratch_words,
            widest=config.widest,
        )
        slots = precision_slots(self.programs.layout.network, *self.bits)
        model = memory_model(memory, array.clock_mhz)
        self._timeline = timeline(array, model, {slot: Slot(*held) for slot, held in slots.items()})

    @property
    def micro_batches(self) -> int:
        """Of the step."""
        return self.config.batch_size // self.config.micro_batch

    def network(self) -> Network:
        """What trains."""
        depth = resnet_depth(self.config.model)
        described = cifar_resnet(depth, CLASSES, self.size, CHANNELS, self.config.width)
        numbers = np.full(CHANNELS, 1 / 64, np.float32), np.full(CHANNELS, -2, np.float32)
        return Network.residual(described, *numbers, self.config.seed)

    def names(self, asked: Sequence[str] | None, *, run_by_step: bool) -> list[str]:
        """``asked``, else the plainest list of each direction; `ContractError` for what there is not.

        ``run_by_step``: those alone that a step runs.
        """
        forward, backward = (
            [self.programs.named(name, self.bits[0]) for name in names]
            for names in of_step(self.micro_batches)
        )
        allowed = list(dict.fromkeys([*forward, *backward]) if run_by_step else self.programs.lists)
        for name in asked or ():
            if name not in allowed:
                raise ContractError(f"list is {name!r}; allowed: {', '.join(allowed)}")
        # What a step does once is woven into its first lists and its last one.
        return list(dict.fromkeys(asked or (forward[-1], backward[len(backward) // 2])))

    def modelled(self, names: Sequence[str]) -> Iterator[Traced]:
        """Lists by the model."""
        for name in names:
            found = self._timeline.run(self.programs.lists[name].words, logged=True)
            assert found.log is not None
            yield Traced(
                name,
                found.cycles,
                of_model(found),
                self._labels(name, found.moments),
                self._shares(found.log.memory),
            )

    def on_rtl(self, names: Sequence[str]) -> Iterator[Traced]:
        """The first of each list that a step on the compiled RTL runs, of drawn images."""
        from cpt.sim.step.observed import Observed

        with Observed(self.array, memory_bytes=MEMORY_BYTES, memory=self.memory) as device:
            trainer = FabricTrainer(
                device,
                self.array,
                self.network(),
                batch_size=self.config.batch_size,
                micro_batch=self.config.micro_batch,
                scratch_words=self.array.scratch_words,
                widest=self.config.widest,
            )
            device.seen(trainer.lists)
            rng = np.random.default_rng(self.config.seed)
            shape = (self.config.batch_size, self.size, self.size, CHANNELS)
            images = rng.integers(0, 256, shape).astype(np.uint8)
            trainer.train_step(images, rng.integers(0, CLASSES, len(images)), self.bits, RATE)
            seen = {one.name: one for one in reversed(device.seen(trainer.lists))}
        for name in names:
            moments = [Moment(one.word, one.engine) for one in seen[name].instructions]
            yield Traced(name, seen[name].cycles, of_rtl(seen[name]), self._labels(name, moments))

    def _labels(self, name: str, moments: Sequence[Moment]) -> list[Label]:
        parts = self.programs.lists[name].parts
        found = labelled(self.programs.layout, moments, parts, BACKWARD in name)
        costs = self._timeline.costs
        return [Label(*label, called(one.word), bits_of(costs, one.word)) for label, one in found]

    def _shares(self, beats: Sequence[float]) -> list[float]:
        """Of what memory can move, for each of some stretches of equal length."""
        each = max(-(-len(beats) // MEMORY_POINTS), 1)
        most = each * STRETCH_CYCLES * self._timeline.memory_bytes / BEAT_BYTES
        return [round(sum(beats[at : at + each]) / most, 3) for at in range(0, len(beats), each)]
