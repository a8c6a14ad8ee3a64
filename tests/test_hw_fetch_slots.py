"""cpt.hw.fetch.slots: a ring of slots, taken, filled, read and given back in order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import SMALL, simulate

from cpt.hw.fetch.slots import Slots


@pytest.mark.parametrize("words", [1, 5, 16, 17, 32])
def test_slots_lie_side_by_side_and_none_is_taken_twice(words: int) -> None:
    rng = random.Random(words)
    block = Slots(SMALL)
    slots = SMALL.b_depth_words // words
    total = 3 * slots + 2
    granted: list[int] = []
    taken: list[int] = []
    released: list[int] = []

    async def fill(ctx: Any) -> None:
        ctx.set(block.requests.words, words)
        ctx.set(block.requests.limit, SMALL.b_depth_words - words)
        ctx.set(block.requests.start, 1)
        await ctx.tick()
        ctx.set(block.requests.start, 0)
        await ctx.tick().repeat(3)
        while len(granted) < total:
            wanted = rng.random() < 0.7
            ctx.set(block.requests.wanted, int(wanted))
            *_, grant = await ctx.tick().sample(block.requests.granted)
            if grant and wanted:
                granted.append(1)
                assert len(granted) - len(released) <= slots, "a slot was taken that is in use"
        ctx.set(block.requests.wanted, 0)

    async def complete(ctx: Any) -> None:
        filled = 0
        while filled < total:
            count = min(rng.randint(0, 2), len(granted) - filled)
            filled += count
            ctx.set(block.filled, count)
            await ctx.tick()
        ctx.set(block.filled, 0)

    async def array(ctx: Any) -> None:
        while len(taken) < total:
            ctx.set(block.tiles.ready, 1)
            *_, base = await ctx.tick().sample(block.tiles.payload).until(block.tiles.valid)
            ctx.set(block.tiles.ready, 0)
            taken.append(base)
            await ctx.tick().repeat(rng.randint(1, 8))
            assert not ctx.get(block.empty)
            released.append(base)
            ctx.set(block.release, 1)
            await ctx.tick()
            ctx.set(block.release, 0)
        await ctx.tick().repeat(8)
        assert ctx.get(block.empty)

    simulate(block, fill, complete, array, watch=[block.tiles])
    assert taken == [number % slots * words for number in range(total)]
