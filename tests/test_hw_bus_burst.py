"""cpt.hw.bus.burst: runs cut at 128-byte boundaries."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.bus.burst import BurstGenerator


def cut(address: int, beats: int) -> list[tuple[int, int]]:
    """Address and beats of every burst of a run, from the rule."""
    bursts = []
    while beats:
        count = min(beats, (128 - address % 128) // 8)
        bursts.append((address, count))
        address, beats = address + 8 * count, beats - count
    return bursts


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_runs_become_bursts_that_end_at_128_bytes(stall: float) -> None:
    rng = random.Random(7)
    runs = [(8 * rng.randrange(1 << 20), rng.randint(1, 60)) for _ in range(40)]
    want = [burst for run in runs for burst in cut(*run)]
    block = BurstGenerator()

    async def put(ctx: Any) -> None:
        ctx.set(block.enable, 1)
        await stream_put(ctx, block.runs, [{"addr": a, "beats": n} for a, n in runs], rng, stall)

    async def get(ctx: Any) -> None:
        got = await stream_get(ctx, block.bursts, len(want), rng, stall)
        assert [(burst.addr, burst.len + 1) for burst in got] == want
        await ctx.tick()
        assert ctx.get(block.idle)

    simulate(block, put, get, watch=[block.bursts])


def test_a_burst_leaves_every_cycle() -> None:
    block = BurstGenerator()
    rng = random.Random(1)

    async def put(ctx: Any) -> None:
        ctx.set(block.enable, 1)
        await stream_put(ctx, block.runs, [{"addr": 128 * n, "beats": 16} for n in range(20)], rng, 0)

    async def count(ctx: Any) -> None:
        ctx.set(block.bursts.ready, 1)
        await ctx.tick().until(block.bursts.valid)
        for _ in range(19):
            assert ctx.get(block.bursts.valid)
            await ctx.tick()
        assert not ctx.get(block.bursts.valid)

    simulate(block, put, count)


def test_nothing_is_issued_while_disabled() -> None:
    block = BurstGenerator()

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 0, "beats": 1}], random.Random(1), 0)
        await ctx.tick().repeat(20)
        assert not ctx.get(block.bursts.valid)
        assert not ctx.get(block.idle)
        ctx.set(block.enable, 1)
        await ctx.tick()
        assert ctx.get(block.bursts.valid)

    simulate(block, bench)
