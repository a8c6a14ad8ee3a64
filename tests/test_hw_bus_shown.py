"""cpt.hw.bus.shown: a stream in order through registers, one every second cycle."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.bus.shown import Shown


@pytest.mark.parametrize(("put_stall", "get_stall"), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.4, 0.4)])
def test_what_comes_is_shown_in_order_and_kept_until_taken(put_stall: float, get_stall: float) -> None:
    block, rng = Shown(8), random.Random(2)
    sent = [rng.getrandbits(8) for _ in range(80)]
    found: list[int] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.i, sent, rng, put_stall)

    async def get(ctx: Any) -> None:
        found.extend(await stream_get(ctx, block.o, len(sent), rng, get_stall))

    simulate(block, put, get, watch=[block.o])
    assert found == sent


def test_one_passes_every_second_cycle() -> None:
    block = Shown(40)

    async def bench(ctx: Any) -> None:
        ctx.set(block.i.valid, 1)
        ctx.set(block.o.ready, 1)
        for number in range(20):
            ctx.set(block.i.payload, number)
            assert ctx.get(block.i.ready)
            assert not ctx.get(block.o.valid)
            await ctx.tick()
            assert not ctx.get(block.i.ready)
            assert ctx.get(block.o.valid)
            assert ctx.get(block.o.payload) == number
            await ctx.tick()

    simulate(block, bench)
