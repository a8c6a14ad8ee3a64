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


@pytest.mark.parametrize("log2", [0, 1, 2, 5])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_instructions_come_in_order_whatever_the_ring_size(log2: int, stall: float) -> None:
    rng = random.Random(log2)
    block = Ring()
    memory = ReadMemory(block.ar, block.r, word, rng, stall)
    size, placed, total = 1 << log2, [0], 40
    got: list[int] = []

    async def doorbell(ctx: Any) -> None:
        ctx.set(block.base, BASE)
        ctx.set(block.log2, log2)
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
        ctx.set(block.base, BASE)
        ctx.set(block.log2, 5)
        ctx.set(block.tail, 30)
        await ctx.tick().repeat(100)
        assert ctx.get(block.head) == MACHINE.prefetch_instructions
        assert not ctx.get(block.idle)
        done.append(True)

    simulate(block, bench, *memory.benches(lambda: bool(done)))
