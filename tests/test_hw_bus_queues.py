"""cpt.hw.bus: queues without a ready, and registers by turns, give all that came in order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.bus.roomy_queue import SHALLOW, RoomyQueue
from cpt.hw.bus.turns import Turns
from cpt.hw.bus.wide_queue import WideQueue

BITS = 60


@pytest.mark.parametrize(
    "make",
    [
        lambda: RoomyQueue(BITS, 8),
        lambda: RoomyQueue(BITS, 8, late=True),
        lambda: RoomyQueue(BITS, 2 * SHALLOW),
        lambda: RoomyQueue(BITS, 64),
        lambda: WideQueue(BITS, 8),
        lambda: WideQueue(3 * BITS, 8),
        lambda: WideQueue(BITS, 64),
    ],
)
@pytest.mark.parametrize("rising", [0.3, 0.5, 0.8])
def test_a_queue_shows_what_was_pushed_a_cycle_later(make: Callable[[], Any], rising: float) -> None:
    block, rng = make(), random.Random(3)
    held: list[int] = []

    async def bench(ctx: Any) -> None:
        for cycle in range(1500):
            # full, empty, and about
            chance = rising if cycle >= 1000 else float(cycle % 200 < 100)
            assert ctx.get(block.o.valid) == bool(held)
            if held:
                assert ctx.get(block.o.payload) == held[0]
            push, ready = len(held) < block.depth and rng.random() < chance, rng.random() < 1 - chance
            value = rng.getrandbits(BITS)
            ctx.set(block.push, (1 << len(block.push)) - 1 if push else 0)
            ctx.set(block.payload, value)
            ctx.set(block.o.ready, ready)
            if held and ready:
                held.pop(0)
            if push:
                held.append(value)
            await ctx.tick()

    simulate(block, bench)


def test_a_queue_for_what_is_surely_there_gives_it_in_order() -> None:
    block, rng = RoomyQueue(BITS, 16, sure=True), random.Random(4)
    held: list[int] = []

    async def bench(ctx: Any) -> None:
        for _ in range(500):
            ready = bool(held) and rng.random() < 0.5
            if ready:
                assert ctx.get(block.o.payload) == held.pop(0)
            push, value = len(held) < block.depth - 1 and rng.random() < 0.5, rng.getrandbits(BITS)
            ctx.set(block.push, push)
            ctx.set(block.payload, value)
            ctx.set(block.o.ready, ready)
            if push:
                held.append(value)
            await ctx.tick()

    simulate(block, bench)


@pytest.mark.parametrize("early", [0, 1, 3])
@pytest.mark.parametrize(("put_stall", "get_stall"), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.4, 0.4)])
def test_registers_by_turns_give_what_came_in_order(early: int, put_stall: float, get_stall: float) -> None:
    block, rng = Turns(BITS, early=early), random.Random(5)
    sent = [rng.getrandbits(BITS) for _ in range(80)]
    found: list[int] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.i, sent, rng, put_stall)

    async def get(ctx: Any) -> None:
        found.extend(await stream_get(ctx, block.o, len(sent), rng, get_stall))

    simulate(block, put, get, watch=[block.o])
    assert found == sent
