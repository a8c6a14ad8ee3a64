"""cpt.hw.program.list_reader: the instructions of a list in order, no more read than there is room for."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import WORD_BYTES
from cpt.hw.program.list_reader import ListReader

BEATS = WORD_BYTES // 8
ANYWHERE = {"base": 0, "limit": (1 << 32) - 1}


def word(address: int) -> int:
    return address * 0x1_0001


def instruction(address: int) -> int:
    return sum(word(address + 8 * n) << 64 * n for n in range(BEATS))


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_lists_come_whole_and_in_order(stall: float) -> None:
    rng = random.Random(3)
    block = ListReader()
    memory = ReadMemory(block.ar, block.r, word, rng, stall)
    calls = [(WORD_BYTES * rng.randrange(1 << 20), count) for count in (1, 2, 3, 4, 5, 17, 1, 30)]
    expected = [instruction(address + WORD_BYTES * n) for address, count in calls for n in range(count)]
    got: list[int] = []

    async def call(ctx: Any) -> None:
        ctx.set(block.window, ANYWHERE)
        for address, count in calls:
            await stream_put(ctx, block.calls, [{"address": address, "count": count}], rng, stall)
            assert not ctx.get(block.idle)

    async def take(ctx: Any) -> None:
        while len(got) < len(expected):
            got.extend(await stream_get(ctx, block.instructions, 1, rng, stall))
        await ctx.tick().repeat(2)
        assert ctx.get(block.idle)
        await ctx.tick().repeat(20)
        assert not ctx.get(block.instructions.valid)

    benches = memory.benches(lambda: len(got) == len(expected))
    simulate(block, call, take, *benches, watch=[block.ar])
    assert got == expected
    assert sum(beats for _, beats in memory.bursts) == BEATS * len(expected)


def test_it_reads_no_further_than_it_has_room() -> None:
    block = ListReader()
    memory = ReadMemory(block.ar, block.r, word, random.Random(1), 0.0)
    ended = [False]

    async def call(ctx: Any) -> None:
        ctx.set(block.window, ANYWHERE)
        await stream_put(ctx, block.calls, [{"address": 0x4000, "count": 1000}], random.Random(2), 0.0)
        await ctx.tick().repeat(400)
        ended[0] = True

    simulate(block, call, *memory.benches(lambda: ended[0]))
    assert memory.beats == BEATS * MACHINE.prefetch_instructions


def test_an_instruction_with_a_refused_beat_is_marked() -> None:
    block = ListReader()
    memory = ReadMemory(block.ar, block.r, word, random.Random(1), 0.0)
    memory.refused = {0x4000 + WORD_BYTES + 8}
    marks: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(block.window, ANYWHERE)
        await stream_put(ctx, block.calls, [{"address": 0x4000, "count": 3}], random.Random(2), 0.0)
        ctx.set(block.instructions.ready, 1)
        while len(marks) < 3:
            _, _, valid, mark = await ctx.tick().sample(block.instructions.valid, block.unreadable)
            if valid:
                marks.append(mark)

    simulate(block, bench, *memory.benches(lambda: len(marks) == 3))
    assert marks == [0, 1, 0]


def test_nothing_is_read_outside_the_window() -> None:
    block = ListReader()
    memory = ReadMemory(block.ar, block.r, word, random.Random(1), 0.0)
    left: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(block.window, {"base": 0x4000, "limit": 0x4100})
        ctx.set(block.instructions.ready, 1)
        await stream_put(ctx, block.calls, [{"address": 0x4000, "count": 9}], random.Random(2), 0.0)
        await ctx.tick().repeat(200)
        left.append(ctx.get(block.leaves))

    simulate(block, bench, *memory.benches(lambda: bool(left)))
    assert left == [1]
    assert memory.beats == 8 * BEATS
