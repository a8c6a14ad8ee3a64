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


def test_commands_take_halves_by_turns_and_are_read_in_their_order() -> None:
    """Some need all of the memories; none begins where slots of another are still wanted."""
    rng = random.Random(3)
    block = Slots(SMALL)
    depth = SMALL.b_depth_words
    commands = [(rng.choice((1, 3, depth // 4, depth // 2 - 1)), rng.random() < 0.8) for _ in range(40)]
    counts = [rng.randint(1, 9) for _ in commands]
    expected: list[int] = []
    taken: list[int] = []
    live: list[int] = []
    """Commands whose slots are not given back."""
    together = 0
    upper = True
    for (words, half), count in zip(commands, counts, strict=True):
        first = depth // 2 if half and upper else 0
        room = (depth // 2 if half else depth) // words
        expected += [first + number % room * words for number in range(count)]
        upper = not upper

    async def fill(ctx: Any) -> None:
        nonlocal together
        for number, ((words, half), count) in enumerate(zip(commands, counts, strict=True)):
            ctx.set(block.half, int(half))
            await ctx.tick().until(block.may_half if half else block.may)
            together += any(command < number for command in live)
            ctx.set(block.begins, 1)
            await ctx.tick()
            ctx.set(block.begins, 0)
            ctx.set(block.requests.words, words)
            ctx.set(block.requests.limit, (depth // 2 if half else depth) - words)
            ctx.set(block.requests.start, 1)
            await ctx.tick()
            ctx.set(block.requests.start, 0)
            await ctx.tick().repeat(3)
            for _ in range(count):
                ctx.set(block.requests.wanted, 1)
                await ctx.tick().until(block.requests.granted)
                ctx.set(block.requests.wanted, 0)
                live.append(number)
                await ctx.tick().repeat(rng.randint(1, 6))
                ctx.set(block.filled, 1)
                await ctx.tick()
                ctx.set(block.filled, 0)

    async def array(ctx: Any) -> None:
        for _ in expected:
            ctx.set(block.tiles.ready, 1)
            *_, base = await ctx.tick().sample(block.tiles.payload).until(block.tiles.valid)
            ctx.set(block.tiles.ready, 0)
            taken.append(base)
            await ctx.tick().repeat(rng.randint(5, 30))
            live.pop(0)
            ctx.set(block.release, 1)
            await ctx.tick()
            ctx.set(block.release, 0)
        await ctx.tick().repeat(12)
        assert ctx.get(block.empty)
        assert ctx.get(block.may)

    simulate(block, fill, array, watch=[block.tiles])
    assert taken == expected
    assert together > len(commands) // 4
