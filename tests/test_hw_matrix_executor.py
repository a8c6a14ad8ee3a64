"""cpt.hw.matrix.executor: tokens, waits and the pace of tiles."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import SMALL, simulate, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.order import tile_interval_cycles
from cpt.hw.matrix.executor import Executor


def command(
    bits: int, *, tiles: int = 1, blocks: int = 1, first: int = 1, last: int = 1, release: int = 1
) -> dict:
    return {
        "a": {"bits": bits, "signed": 0},
        "b": {"bits": 1, "signed": 0},
        "ksteps": 1,
        "tiles": tiles,
        "blocks": blocks,
        "first": first,
        "last": last,
        "release_a": release,
        "taps": 511,
        "a_tile_words": bits,
        "b_plane_words": 1,
    }


async def pulse(ctx: Any, signal: Any) -> None:
    ctx.set(signal, 1)
    await ctx.tick()
    ctx.set(signal, 0)


class Log:
    """What an executor did, cycle by cycle."""

    def __init__(self, block: Executor, cycles: int) -> None:
        self.block, self.cycles = block, cycles
        self.steps: list[tuple[int, dict[str, int]]] = []
        self.seen: dict[str, list[int]] = {
            name: [] for name in ("busy", "wait_fetch", "wait_drain", "a_release", "b_release")
        }

    async def watch(self, ctx: Any) -> None:
        names = list(self.seen)
        for cycle in range(self.cycles):
            _, _, valid, step, *values = await ctx.tick().sample(
                self.block.valid, self.block.step, *(getattr(self.block, name) for name in names)
            )
            if valid:
                self.steps.append((cycle, step))
            for name, value in zip(names, values, strict=True):
                if value:
                    self.seen[name].append(cycle)


def test_it_waits_for_both_operands_and_counts_the_wait() -> None:
    block = Executor(SMALL)
    log = Log(block, 60)

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [command(5)], random.Random(1), 0)
        await ctx.tick().repeat(MACHINE.exec_start_cycles - 3)
        await ctx.tick().repeat(9)
        await pulse(ctx, block.a_loaded)
        await ctx.tick().repeat(9)
        await pulse(ctx, block.b_loaded)
        await ctx.tick().repeat(30)

    simulate(block, bench, log.watch)
    wait, busy = log.seen["wait_fetch"], log.seen["busy"]
    assert len(wait) == 20
    assert wait == list(range(wait[0], wait[0] + 20))
    # A wait ends when the block is seen.
    assert busy == list(range(wait[-1] + MACHINE.exec_block_cycles, wait[-1] + MACHINE.exec_block_cycles + 5))
    assert log.seen["a_release"] == log.seen["b_release"] == log.seen["busy"][-1:]


def test_operands_that_are_there_cost_no_wait_and_a_command_starts_as_the_contract_says() -> None:
    block = Executor(SMALL)
    log = Log(block, 60)
    accepted: list[int] = []

    async def bench(ctx: Any) -> None:
        await pulse(ctx, block.a_loaded)
        await pulse(ctx, block.b_loaded)
        await stream_put(ctx, block.commands, [command(5)], random.Random(1), 0)

    async def note(ctx: Any) -> None:
        for cycle in range(60):
            _, _, valid, ready = await ctx.tick().sample(block.commands.valid, block.commands.ready)
            if valid and ready:
                accepted.append(cycle)

    simulate(block, bench, log.watch, note)
    # What a cycle was spent on is seen in the next.
    assert log.seen["busy"][0] == accepted[0] + MACHINE.exec_start_cycles + 1
    assert log.seen["wait_fetch"] == []


def test_commands_follow_each_other_without_a_gap_and_two_are_held() -> None:
    block = Executor(SMALL)
    log = Log(block, 150)
    accepted: list[int] = []

    async def bench(ctx: Any) -> None:
        for _ in range(MACHINE.halves):
            await pulse(ctx, block.b_loaded)
        await pulse(ctx, block.a_loaded)
        items = [command(12, first=0, release=0), command(12, first=0, release=0)]
        await stream_put(ctx, block.commands, [*items, command(1, first=0)], random.Random(1), 0)

    async def load(ctx: Any) -> None:
        await ctx.tick().until(block.b_release)
        await pulse(ctx, block.b_loaded)

    async def note(ctx: Any) -> None:
        for cycle in range(150):
            _, _, valid, ready = await ctx.tick().sample(block.commands.valid, block.commands.ready)
            if valid and ready:
                accepted.append(cycle)

    simulate(block, bench, log.watch, load, note)
    busy = log.seen["busy"]
    assert busy[:24] == list(range(busy[0], busy[0] + 24))
    assert accepted[1] == accepted[0] + 1
    assert accepted[2] == busy[11] - 1 + MACHINE.exec_accept_cycles


def test_last_steps_of_tiles_are_at_least_a_collection_apart() -> None:
    block = Executor(SMALL)
    log = Log(block, 60)

    async def bench(ctx: Any) -> None:
        await pulse(ctx, block.a_loaded)
        await pulse(ctx, block.b_loaded)
        await stream_put(ctx, block.commands, [command(1, tiles=2)], random.Random(1), 0)
        await ctx.tick().repeat(30)

    simulate(block, bench, log.watch)
    first, second = log.seen["busy"]
    assert second - first == tile_interval_cycles(SMALL)
    assert len(log.seen["wait_drain"]) == tile_interval_cycles(SMALL) - 1


def test_a_third_tile_waits_until_drain_gives_one_back() -> None:
    block = Executor(SMALL)
    log = Log(block, 120)

    async def bench(ctx: Any) -> None:
        await pulse(ctx, block.a_loaded)
        await pulse(ctx, block.b_loaded)
        await stream_put(ctx, block.commands, [command(8, tiles=3)], random.Random(1), 0)
        await ctx.tick().repeat(60)
        assert len(log.seen["busy"]) == 23
        await pulse(ctx, block.tile_free)
        await ctx.tick().repeat(20)

    simulate(block, bench, log.watch)
    assert len(log.seen["busy"]) == 24
    tiles = [step.collect.tile for _, step in log.steps if step.capture]
    assert tiles == [0, 1, 0]


def test_accumulating_commands_stay_on_one_result_tile_and_one_a_block() -> None:
    block = Executor(SMALL)
    log = Log(block, 120)
    items = [
        command(8, first=1, last=0, release=0),
        command(8, first=0, last=0, release=1),
        command(8, first=0, last=1, release=1),
    ]

    async def bench(ctx: Any) -> None:
        for signal in (block.a_loaded, block.b_loaded, block.a_loaded, block.b_loaded):
            await pulse(ctx, signal)
        await stream_put(ctx, block.commands, items[:2], random.Random(1), 0)
        await ctx.tick().repeat(35)
        await pulse(ctx, block.b_loaded)
        await stream_put(ctx, block.commands, items[2:], random.Random(1), 0)
        await ctx.tick().repeat(30)
        assert not ctx.get(block.idle), "three tiles are not collected yet"
        for _ in items:
            await pulse(ctx, block.collected)
        await ctx.tick().repeat(MACHINE.exec_idle_cycles)
        assert ctx.get(block.idle)

    simulate(block, bench, log.watch)
    assert len(log.seen["busy"]) == 24
    assert len(log.seen["a_release"]) == 2
    assert len(log.seen["b_release"]) == 3
    captures = [step for _, step in log.steps if step.capture]
    assert [(s.collect.tile, s.collect.first, s.collect.last) for s in captures] == [
        (0, 1, 0),
        (0, 0, 0),
        (0, 0, 1),
    ]
    halves = [(s.a_addr >> 4, s.b_addr >> 4) for s in captures]
    assert halves == [(0, 0), (0, 1), (1, 0)]


def test_stop_takes_no_pair() -> None:
    block = Executor(SMALL)
    log = Log(block, 60)

    async def bench(ctx: Any) -> None:
        await pulse(ctx, block.a_loaded)
        await pulse(ctx, block.b_loaded)
        await stream_put(ctx, block.commands, [command(16)], random.Random(1), 0)
        await ctx.tick().repeat(MACHINE.exec_start_cycles + 3)
        ctx.set(block.stop, 1)
        await ctx.tick().repeat(20)

    simulate(block, bench, log.watch)
    assert 0 < len(log.seen["busy"]) < 8
    assert log.seen["wait_fetch"] == log.seen["wait_drain"] == []
