"""cpt.hw.control.queue: what goes in comes out in order, a cycle later, as much as the depth allows."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.lib import data
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.control.queue import Queue

WIDE = data.StructLayout({"low": 60, "high": 71})
"""More bits than fit one bank of memory, in no even number of them."""
DEPTHS = pytest.mark.parametrize("depth", [2, 4, 8, 63])


def _noise(rng: random.Random, count: int) -> list[dict[str, int]]:
    return [{"low": rng.getrandbits(60), "high": rng.getrandbits(71)} for _ in range(count)]


@DEPTHS
@pytest.mark.parametrize(("push_stall", "pop_stall"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_what_goes_in_comes_out_in_order(depth: int, push_stall: float, pop_stall: float) -> None:
    rng = random.Random(depth)
    block, payloads = Queue(WIDE, depth), _noise(rng, 60)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.i, payloads, random.Random(1), push_stall)

    async def get(ctx: Any) -> None:
        got = await stream_get(ctx, block.o, len(payloads), random.Random(2), pop_stall)
        assert [{"low": item.low, "high": item.high} for item in got] == payloads
        await ctx.tick()
        assert ctx.get(block.empty)

    simulate(block, put, get, watch=[block.o])


@DEPTHS
def test_it_takes_its_depth_and_no_more_until_something_leaves(depth: int) -> None:
    block = Queue(8, depth)

    async def bench(ctx: Any) -> None:
        assert ctx.get(block.empty)
        ctx.set(block.i.valid, 1)
        for number in range(depth):
            assert ctx.get(block.i.ready)
            ctx.set(block.i.payload, number)
            await ctx.tick()
            assert (ctx.get(block.o.valid), ctx.get(block.o.payload), ctx.get(block.empty)) == (1, 0, 0)
        ctx.set(block.i.payload, 0xFF)  # refused
        for _ in range(3):
            assert not ctx.get(block.i.ready)
            await ctx.tick()
        ctx.set(block.i.valid, 0)
        ctx.set(block.o.ready, 1)
        for number in range(depth):
            assert (ctx.get(block.o.valid), ctx.get(block.o.payload)) == (1, number)
            await ctx.tick()
            assert ctx.get(block.i.ready)
        assert (ctx.get(block.o.valid), ctx.get(block.empty)) == (0, 1)

    simulate(block, bench)


@DEPTHS
def test_one_goes_in_and_one_comes_out_in_every_cycle(depth: int) -> None:
    block = Queue(16, depth)

    async def bench(ctx: Any) -> None:
        ctx.set(block.i.valid, 1)
        ctx.set(block.o.ready, 1)
        for number in range(50):
            assert ctx.get(block.i.ready)
            ctx.set(block.i.payload, number)
            await ctx.tick()
            assert (ctx.get(block.o.valid), ctx.get(block.o.payload)) == (1, number)

    simulate(block, bench)


@DEPTHS
def test_a_queue_that_nobody_reads_offers_nothing_it_was_not_given(depth: int) -> None:
    block = Queue(8, depth)

    async def bench(ctx: Any) -> None:
        ctx.set(block.i.payload, 0xAA)
        ctx.set(block.o.ready, 1)
        for _ in range(3 * depth):
            await ctx.tick()
            assert (ctx.get(block.o.valid), ctx.get(block.empty), ctx.get(block.i.ready)) == (0, 1, 1)

    simulate(block, bench)
