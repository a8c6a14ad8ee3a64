"""cpt.hw.control.ring: instructions in order, aligned bursts, no more than there is room for."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_get

from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.ring import Ring

BASE = 0x7000


def word(address: int) -> int:
    return (address - BASE) * 0x1_0001


def open_ring(ctx: Any, block: Ring, log2: int) -> None:
    """A ring that just fits into its window."""
    ctx.set(block.base, BASE)
    ctx.set(block.log2, log2)
    ctx.set(block.window, {"base": BASE, "limit": BASE + (32 << log2)})


@pytest.mark.parametrize("log2", [0, 1, 2, 5])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_instructions_come_in_order_whatever_the_ring_size(log2: int, stall: float) -> None:
    rng = random.Random(log2)
    block = Ring()
    memory = ReadMemory(block.ar, block.r, word, rng, stall)
    size, placed, total = 1 << log2, [0], 40
    got: list[int] = []

    async def doorbell(ctx: Any) -> None:
        open_ring(ctx, block, log2)
        while placed[0] < total:
            placed[0] = min(total, placed[0] + rng.randint(1, size))
            ctx.set(block.tail, placed[0])
            while len(got) < placed[0]:
                await ctx.tick()
            await ctx.tick()
            assert ctx.get(block.head) == placed[0]
            assert ctx.get(block.idle)

    async def take(ctx: Any) -> None:
        while len(got) < total:
            got.extend(await stream_get(ctx, block.instructions, 1, rng, stall))

    simulate(block, doorbell, take, *memory.benches(lambda: len(got) == total), watch=[block.ar])
    for number, instruction in enumerate(got):
        start = BASE + 32 * (number % size)
        assert instruction == sum(word(start + 8 * n) << 64 * n for n in range(4))
    assert sum(beats for _, beats in memory.bursts) == 4 * total


def test_it_reads_ahead_no_further_than_it_has_room() -> None:
    rng = random.Random(1)
    block = Ring()
    memory = ReadMemory(block.ar, block.r, word, rng, 0.0)
    done: list[bool] = []

    async def bench(ctx: Any) -> None:
        open_ring(ctx, block, 5)
        ctx.set(block.tail, 30)
        await ctx.tick().repeat(100)
        assert sum(beats for _, beats in memory.bursts) == 4 * MACHINE.prefetch_instructions
        assert ctx.get(block.head) == 0, "nothing was handed on"
        assert not ctx.get(block.idle)
        done.append(True)

    simulate(block, bench, *memory.benches(lambda: bool(done)))


def test_an_instruction_with_a_refused_beat_is_marked_and_its_neighbours_are_not() -> None:
    rng = random.Random(2)
    block = Ring()
    refused = {BASE + 32 * 1 + 8 * 0, BASE + 32 * 4 + 8 * 3, BASE + 32 * 5 + 8 * 1}
    memory = ReadMemory(block.ar, block.r, word, rng, 0.0)
    memory.refused = refused
    marks: list[int] = []

    async def bench(ctx: Any) -> None:
        open_ring(ctx, block, 5)
        ctx.set(block.tail, 8)
        ctx.set(block.instructions.ready, 1)
        while len(marks) < 8:
            _, _, valid, unreadable = await ctx.tick().sample(block.instructions.valid, block.unreadable)
            if valid:
                marks.append(unreadable)

    simulate(block, bench, *memory.benches(lambda: len(marks) == 8))
    assert marks == [0, 1, 0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("base", "log2", "window", "sound"),
    [
        (0x7000, 5, (0x7000, 0x7400), True),
        (0x7000, 5, (0x7001, 0x7400), False),
        (0x7000, 5, (0x7000, 0x73FF), False),
        (0x7000, 5, (0, 0), False),
        (0x7800, 5, (0, 0xFFFF_FFFF), False),
        (0x7008, 5, (0, 0xFFFF_FFFF), False),
        (0, 16, (0, 0xFFFF_FFFF), True),
        (0, 17, (0, 0xFFFF_FFFF), False),
        (0, 31, (0, 0xFFFF_FFFF), False),
        (0xFFFF_F000, 6, (0, 0xFFFF_FFFF), True),
        (0xFFFF_F000, 7, (0, 0xFFFF_FFFF), False),
        (0xFFFF_F000, 16, (0, 0xFFFF_FFFF), False),
    ],
)
def test_a_ring_that_is_misaligned_too_large_or_outside_its_window_is_not_read(
    base: int, log2: int, window: tuple[int, int], sound: bool
) -> None:
    block = Ring()
    memory = ReadMemory(block.ar, block.r, word, random.Random(3), 0.0)
    bad: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(block.base, base)
        ctx.set(block.log2, log2)
        ctx.set(block.window, {"base": window[0], "limit": window[1]})
        await ctx.tick().repeat(block.place_cycles)
        ctx.set(block.tail, 1)
        for _ in range(20):
            _, _, asked = await ctx.tick().sample(block.bad)
            bad.append(asked)

    simulate(block, bench, *memory.benches(lambda: len(bad) == 20))
    assert any(bad) != sound
    assert bool(memory.bursts) == sound
