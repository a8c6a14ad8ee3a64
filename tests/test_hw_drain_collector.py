"""cpt.hw.drain.collector: captured tiles overwrite result tiles or are added to them, row by row."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth import Elaboratable, Module
from hw_streams import SMALL, simulate

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.machine import MACHINE, collector_latency_cycles
from cpt.hw.contract.order import tile_interval_cycles
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.layouts import result_rows
from cpt.hw.matrix.unit import result_bits

ARRAYS = pytest.mark.parametrize("config", [SMALL, preset("tiny")], ids=lambda config: config.name)


class CollectorAndBuffer(Elaboratable):
    """The collector between rows that the test gives and a real result buffer."""

    def __init__(self, config: ArrayConfig, *, adds: bool = True) -> None:
        self.config, self.adds = config, adds
        self.collector, self.buffer = Collector(config, adds=adds), ResultBuffer(config, adds=adds)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.collector, m.submodules.buffer = collector, buffer = self.collector, self.buffer
        if self.adds:
            m.d.comb += [
                buffer.old_addr.eq(collector.old_addr),
                collector.old_row.eq(buffer.old_row),
            ]
        m.d.comb += [
            buffer.write_en.eq(collector.write_en),
            buffer.write_addr.eq(collector.write_addr),
            buffer.write_row.eq(collector.write_row),
        ]
        return m


@dataclass
class Capture:
    """A tile of sums ``rows[row][column]``, the column sums last, and what is to become of it."""

    tile: int
    first: int
    last: int
    rows: list[list[int]]
    cycle: int = 0
    """In which it was captured."""

    @property
    def collect(self) -> dict[str, int]:
        return {"tile": self.tile, "first": self.first, "last": self.last}


@dataclass
class Seen:
    """What the collector did: cycles of ``done`` and ``complete``; addresses and rows written."""

    done: list[int] = field(default_factory=list)
    complete: list[int] = field(default_factory=list)
    writes: list[tuple[int, list[int]]] = field(default_factory=list)


def captures(config: ArrayConfig, seed: int, count: int) -> list[Capture]:
    """Random tiles as wide as a sum can be; the first into each result tile overwrites it."""
    rng = random.Random(seed)
    limit = 1 << result_bits(config) - 1
    found = []
    for number in range(count):
        rows = [
            [rng.choice((-limit, limit - 1, rng.randrange(-limit, limit))) for _ in range(config.cols)]
            for _ in range(result_rows(config))
        ]
        tile, first = (number, 1) if number < MACHINE.result_tiles else (rng.randrange(2), rng.randrange(2))
        found.append(Capture(tile, first, rng.randrange(2), rows))
    return found


def collected(config: ArrayConfig, work: list[Capture], gaps: list[int], *, adds: bool = True) -> Seen:
    """Run ``work``, each tile captured ``gaps`` cycles later than the array could."""
    top = CollectorAndBuffer(config, adds=adds)
    collector, seen = top.collector, Seen()
    cycles = sum(gaps) + len(work) * tile_interval_cycles(config) + 2 * collector_latency_cycles(config)

    async def array(ctx: Any) -> None:
        """Captures, and gives the rows that were asked for some cycles ago."""
        nothing = [0] * config.cols
        rows = [nothing] * result_rows(config)
        asked = deque([nothing] * (MACHINE.row_select_cycles - 1))
        pending, free_at = list(zip(work, gaps, strict=True)), 0
        for cycle in range(cycles):
            taken = None
            if pending and cycle >= free_at + pending[0][1]:
                taken = pending.pop(0)[0]
                taken.cycle, free_at = cycle, cycle + tile_interval_cycles(config)
            ctx.set(collector.captured, int(taken is not None))
            # What is to become of a tile is said with it and in no other cycle.
            ctx.set(collector.collect, taken.collect if taken else {"tile": cycle, "first": 1, "last": 1})
            _, _, index = await ctx.tick().sample(collector.row_index)
            asked.append(rows[index])
            ctx.set(collector.row, asked.popleft())
            rows = taken.rows if taken else rows

    async def watch(ctx: Any) -> None:
        # Where a row goes is said some cycles before it.
        ahead = deque([(0, 0)] * MACHINE.result_address_cycles)
        for cycle in range(cycles):
            _, _, write, addr, row, done, complete = await ctx.tick().sample(
                collector.write_en,
                collector.write_addr,
                collector.write_row,
                collector.done,
                collector.complete,
            )
            ahead.append((write, addr))
            write, addr = ahead.popleft()
            if write:
                seen.writes.append((addr, [row[column] for column in range(config.cols)]))
            if done:
                seen.done.append(cycle)
            if complete:
                seen.complete.append(cycle)

    simulate(top, array, watch)
    return seen


def golden_writes(config: ArrayConfig, work: list[Capture]) -> list[tuple[int, list[int]]]:
    """Sums first, then the rows; each replaces what lies there with ``first``, else is added to it."""
    memory: dict[int, list[int]] = {}
    writes = []
    for item in work:
        for row in (config.rows, *range(config.rows)):
            address = item.tile * result_rows(config) + row
            old = [0] * config.cols if item.first else memory[address]
            sums = [(a + b) % (1 << ACC_BITS) for a, b in zip(old, item.rows[row], strict=True)]
            memory[address] = sums
            writes.append((address, sums))
    return writes


@ARRAYS
@pytest.mark.parametrize("largest_gap", [0, 3])
def test_a_tile_replaces_its_result_tile_or_is_added_to_it_as_fast_as_the_array_captures(
    config: ArrayConfig, largest_gap: int
) -> None:
    rng = random.Random(largest_gap)
    work = captures(config, 5, 24)
    seen = collected(config, work, [rng.randint(0, largest_gap) for _ in work])
    assert seen.writes == golden_writes(config, work)


@ARRAYS
def test_tiles_that_nothing_is_added_to_take_their_places_in_turn(config: ArrayConfig) -> None:
    work = captures(config, 6, 10)
    seen = collected(config, work, [number % 3 for number in range(len(work))], adds=False)
    for number, item in enumerate(work):
        item.tile, item.first = number % MACHINE.step_result_tiles, 1
    assert seen.writes == golden_writes(config, work)


@ARRAYS
def test_every_tile_is_done_after_its_latency_and_complete_if_it_is_the_last_of_its_sum(
    config: ArrayConfig,
) -> None:
    work = captures(config, 6, 16)
    seen = collected(config, work, [0, 1] * 8)
    latency = collector_latency_cycles(config)
    assert seen.done == [item.cycle + latency for item in work]
    assert seen.complete == [item.cycle + latency for item in work if item.last]
    assert 0 < len(seen.complete) < len(work)


@ARRAYS
def test_a_machine_that_captures_nothing_writes_nothing(config: ArrayConfig) -> None:
    assert collected(config, [], []) == Seen()
