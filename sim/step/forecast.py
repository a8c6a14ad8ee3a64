"""What whole steps take by the engines' rules, without doing them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from functools import cache

from cpt.host.compiler.network import BACKWARD, EVALUATE, PREPARE, compiled, of_step
from cpt.host.config import TrainConfig
from cpt.host.counters import Counters
from cpt.host.fabric import precision_slots
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import MemoryModel
from cpt.sim.step.by_layer import Part, by_layer
from cpt.sim.step.costs import Costs
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import Timeline


class Forecast:
    """A `cpt.host.trainer.Clock` for a machine that is not there.

    Lists take the same cycles whatever their numbers, so each is run once at each precision. What the host
    does between them is hidden by their order and not counted. ``config`` has its micro-batch settled.
    """

    def __init__(
        self, array: ArrayConfig, memory: MemoryModel, network: Network, config: TrainConfig
    ) -> None:
        self._network, self._images = network, config.micro_batch
        self._micro_batches = config.batch_size // config.micro_batch
        self._programs = compiled(
            array,
            network,
            images=config.micro_batch,
            micro_batches=self._micro_batches,
            scratch_words=array.scratch_words,
            momentum=config.momentum,
            decay=config.weight_decay,
            widest=config.widest,
        )
        self._slots: dict[int, Slot] = {}
        self._timeline = timeline(array, memory, self._slots)
        self._of_list = cache(self._run)
        self._parts: dict[tuple[str, tuple[int, int]], list[Part]] = {}

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of a step."""
        return _sum(self.lists(bits))

    def lists(self, bits: tuple[int, int]) -> list[tuple[str, int, Counters]]:
        """Lists of a step: name, how often it runs, what it takes once."""
        times = Counter(itertools.chain(*of_step(self._micro_batches)))
        return [(name, count, self._of_list(name, bits)) for name, count in times.items()]

    def parts(self, bits: tuple[int, int]) -> list[Part]:
        """A whole step by layer and pass, in the order in which they begin."""
        found: dict[tuple[str, str], Part] = {}
        for name, count, _ in self.lists(bits):
            for part in self._parts[name, bits]:
                label = part.layer, part.which
                found.setdefault(label, Part(*label)).add(part, count)
        return list(found.values())

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of an evaluation of so many images."""
        times = {PREPARE: 1, EVALUATE: -(-images // self._images)}
        return _sum((name, count, self._of_list(name, (bits, bits))) for name, count in times.items())

    def _run(self, name: str, bits: tuple[int, int]) -> Counters:
        for slot, (width, signed) in precision_slots(self._network, *bits).items():
            self._slots[slot] = Slot(width, signed)
        listing = self._programs.lists[name]
        found = self._timeline.run(listing.words)
        self._parts[name, bits] = by_layer(
            self._programs.layout,
            found.moments,
            listing.parts,
            self._timeline.memory_bytes,
            backward=BACKWARD in name,
        )
        return Counters(
            total=found.cycles,
            exec_busy=found.busy["EXEC"],
            bytes_read=found.read,
            bytes_written=found.written,
        )


def _sum(lists: Iterable[tuple[str, int, Counters]]) -> Counters:
    return sum((counters.times(count) for _, count, counters in lists), Counters())


def timeline(array: ArrayConfig, memory: MemoryModel, slots: dict[int, Slot]) -> Timeline:
    """For lists on a machine whose ``slots`` may change between them."""
    beats = memory.slots_num / memory.slots_den
    return Timeline(
        Costs(array, slots),
        memory_bytes=BEAT_BYTES * beats,
        latency=memory.read_latency_cycles,
        write_latency=memory.write_latency_cycles,
    )
