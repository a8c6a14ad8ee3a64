"""cpt.hw.bus.burst: runs cut at 128-byte boundaries."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.contract.machine import MACHINE


def cut(address: int, beats: int) -> list[tuple[int, int]]:
    """Address and beats of every burst of a run, from the rule."""
    bursts = []
    while beats:
        count = min(beats, (128 - address % 128) // 8)
        bursts.append((address, count))
        address, beats = address + 8 * count, beats - count
    return bursts


def ending(block: BurstGenerator, rng: random.Random, stall: float) -> Callable[[Any], Any]:
    """A testbench that ends bursts, one after the other, some time after the port has taken them."""

    async def end(ctx: Any) -> None:
        taken = 0
        while True:
            finish = taken > 0 and rng.random() >= stall
            ctx.set(block.finish, finish)
            taken -= finish
            _, _, valid, ready = await ctx.tick().sample(block.bursts.valid, block.bursts.ready)
            taken += valid and ready

    return end


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("halt", [0.0, 0.3])
def test_runs_become_bursts_that_end_at_128_bytes(stall: float, halt: float) -> None:
    rng = random.Random(7)
    runs = [(8 * rng.randrange(1 << 20), rng.randint(1, 60)) for _ in range(40)]
    want = [burst for run in runs for burst in cut(*run)]
    block = BurstGenerator()
    open_bursts: list[int] = []
    done: list[bool] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": a, "beats": n} for a, n in runs], rng, stall)

    async def get(ctx: Any) -> None:
        got = await stream_get(ctx, block.bursts, len(want), rng, stall)
        assert [(burst.addr, burst.len + 1) for burst in got] == want
        while not ctx.get(block.idle):
            await ctx.tick()
        assert ctx.get(block.quiet)
        done.append(True)

    async def watch(ctx: Any) -> None:
        count = 0
        while not done:
            ctx.set(block.stop, rng.random() < halt)
            _, _, issue, finish, quiet = await ctx.tick().sample(block.issue, block.finish, block.quiet)
            assert not (quiet and count)
            count += issue - finish
            open_bursts.append(count)

    simulate(block, put, get, watch, background=[ending(block, rng, stall)], watch=[block.bursts])
    assert max(open_bursts) <= MACHINE.outstanding_bursts


def test_a_burst_leaves_every_cycle_of_a_run_and_none_between_two() -> None:
    block = BurstGenerator()
    rng = random.Random(1)
    cycles: list[int] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 128 * n, "beats": 40} for n in range(0, 20, 4)], rng, 0)

    async def count(ctx: Any) -> None:
        ctx.set(block.bursts.ready, 1)
        cycle = 0
        while len(cycles) < 15:
            ctx.set(block.finish, bool(cycles))
            _, _, issue = await ctx.tick().sample(block.issue)
            cycle += 1
            if issue:
                cycles.append(cycle)
            ctx.set(block.finish, 0)

    simulate(block, put, count)
    gaps = [after - before for before, after in itertools.pairwise(cycles)]
    assert gaps == [*[1, 1, 2] * 4, 1, 1]


def test_a_run_shows_on_the_port_after_the_cycles_that_the_contract_says() -> None:
    block = BurstGenerator()

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 8, "beats": 1}], random.Random(1), 0)
        for _ in range(MACHINE.generator_cycles - 1):
            assert not ctx.get(block.bursts.valid)
            await ctx.tick()
        assert ctx.get(block.bursts.valid)

    simulate(block, bench)


def test_what_a_port_does_not_take_is_issued_up_to_the_limit() -> None:
    block = BurstGenerator()

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 0, "beats": 16 * 20}], random.Random(1), 0)
        issued = 0
        for _ in range(40):
            _, _, issue = await ctx.tick().sample(block.issue)
            issued += issue
        assert issued == MACHINE.outstanding_bursts

    simulate(block, bench)


def test_nothing_is_issued_while_stopped() -> None:
    block = BurstGenerator()

    async def bench(ctx: Any) -> None:
        ctx.set(block.stop, 1)
        await stream_put(ctx, block.runs, [{"addr": 0, "beats": 1}], random.Random(1), 0)
        await ctx.tick().repeat(20)
        assert not ctx.get(block.bursts.valid)
        assert ctx.get(block.quiet)
        assert not ctx.get(block.idle)
        ctx.set(block.stop, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(block.bursts.valid)
        assert not ctx.get(block.quiet)

    simulate(block, bench)


@pytest.mark.parametrize("cycle", range(6))
def test_once_stopped_and_quiet_nothing_reaches_the_port(cycle: int) -> None:
    """What a soft reset relies on, whenever the run comes: it waits until stop has been given and all is
    quiet, and takes effect two cycles later."""
    block = BurstGenerator()

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 0, "beats": 40}], random.Random(1), 0)

    async def bench(ctx: Any) -> None:
        for _ in range(cycle):
            await ctx.tick()
        ctx.set(block.stop, 1)
        reached = False
        for _ in range(20):
            _, _, quiet, valid = await ctx.tick().sample(block.quiet, block.bursts.valid)
            assert not (reached and valid)
            reached = reached or quiet

    simulate(block, put, bench)
