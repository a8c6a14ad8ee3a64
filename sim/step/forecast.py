"""What whole steps take by the engines' rules, without doing them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable

from cpt.host.compiler.network import BACKWARD, EVALUATE, PREPARE, Programs, compiled, of_step
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

MOST_PROCESSES = 8
"""Each holds a list with all its moments: of ResNet-74 half a gigabyte."""
DEADLINE_S = 1800.0
"""Of a list that a process times."""


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
        self._lists = Lists(array, memory, self._programs)
        self._found: dict[tuple[str, tuple[int, int]], tuple[Counters, list[Part]]] = {}

    def together(self, precisions: Iterable[tuple[int, int]], processes: int | None = None) -> None:
        """Work steps of several precisions out at once, in ``processes``, else one for each processor.

        What is asked for later is there already; without this call it is worked out then, one by one. Raises
        `TimeoutError` after `DEADLINE_S` without a result.
        """
        names = [name for name, _ in self._times()]
        tasks = [(name, bits) for bits in precisions for name in names if (name, bits) not in self._found]
        tasks.sort(key=lambda task: len(self._programs.lists[self._named(*task)].words), reverse=True)
        count = min(processes or os.cpu_count() or 1, MOST_PROCESSES, len(tasks))
        if count < 2:
            return
        # A process that starts anew would import what bears a library's name in the folder of the call.
        with multiprocessing.get_context("fork").Pool(count, _begin, (self._lists,)) as pool:
            given = [(self._named(name, bits), self._slots(bits)) for name, bits in tasks]
            results = pool.imap(_time, given)
            for task in tasks:
                self._found[task] = results.next(DEADLINE_S)

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of a step."""
        return _sum(self.lists(bits))

    def lists(self, bits: tuple[int, int]) -> list[tuple[str, int, Counters]]:
        """Lists of a step: name, how often it runs, what it takes once."""
        return [
            (self._named(name, bits), count, self._of_list(name, bits)[0]) for name, count in self._times()
        ]

    def parts(self, bits: tuple[int, int]) -> list[Part]:
        """A whole step by layer and pass, in the order in which they begin."""
        found: dict[tuple[str, str], Part] = {}
        for name, count in self._times():
            for part in self._of_list(name, bits)[1]:
                label = part.layer, part.which
                found.setdefault(label, Part(*label)).add(part, count)
        return list(found.values())

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of an evaluation of so many images."""
        times = {PREPARE: 1, EVALUATE: -(-images // self._images)}
        return _sum((name, count, self._of_list(name, (bits, bits))[0]) for name, count in times.items())

    def _times(self) -> Iterable[tuple[str, int]]:
        """Lists of a step, and how often each runs."""
        return Counter(itertools.chain(*of_step(self._micro_batches))).items()

    def _slots(self, bits: tuple[int, int]) -> dict[int, Slot]:
        slots = precision_slots(self._network, *bits)
        return {slot: Slot(width, signed) for slot, (width, signed) in slots.items()}

    def _of_list(self, name: str, bits: tuple[int, int]) -> tuple[Counters, list[Part]]:
        """What a list takes, and its parts by layer."""
        if (name, bits) not in self._found:
            self._found[name, bits] = self._lists.time(self._named(name, bits), self._slots(bits))
        return self._found[name, bits]

    def _named(self, name: str, bits: tuple[int, int]) -> str:
        """The list that ``name`` is at some bits; an evaluation is the same at all."""
        return self._programs.named(name, bits[0])


class Lists:
    """Lists of ``programs`` on a machine: any process may time them."""

    def __init__(self, array: ArrayConfig, memory: MemoryModel, programs: Programs) -> None:
        self._array, self._memory = array, memory
        self._layout, self._listings = programs.layout, programs.lists

    def time(self, name: str, slots: dict[int, Slot]) -> tuple[Counters, list[Part]]:
        """What a list takes with such precision slots, and its parts by layer."""
        listing, machine = self._listings[name], timeline(self._array, self._memory, slots)
        found = machine.run(listing.words)
        parts = by_layer(
            self._layout, found.moments, listing.parts, machine.memory_bytes, backward=BACKWARD in name
        )
        counters = Counters(
            total=found.cycles,
            exec_busy=found.busy["EXEC"],
            bytes_read=found.read,
            bytes_written=found.written,
        )
        return counters, parts


_lists: Lists
"""Those of a process that times some of them."""


def _begin(lists: Lists) -> None:
    global _lists
    _lists = lists
    # Whoever asked for them is interrupted and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _time(task: tuple[str, dict[int, Slot]]) -> tuple[Counters, list[Part]]:
    return _lists.time(*task)


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
