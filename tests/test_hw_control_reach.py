"""cpt.hw.control.reach: the end of everything an instruction touches, exactly, against plain arithmetic."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate

from cpt.hw.control.reach import BEAT_ADDRESS_BITS, COUNT_BITS, TERMS, Reach
from cpt.hw.layouts import RUN_BEATS_WIDTH

Case = tuple[int, list[int], list[int], int]
"""Base and strides in beats, counts, beats of the last run."""


def draw(rng: random.Random) -> Case:
    """Any widths: small and large numbers, many of them zero."""

    def number(width: int) -> int:
        return rng.choice((0, 1, rng.getrandbits(rng.randint(1, width)), (1 << width) - 1))

    strides = [number(rng.choice((6, 14, BEAT_ADDRESS_BITS))) for _ in range(TERMS)]
    counts = [number(rng.choice((1, 4, width))) for width in (COUNT_BITS, 10, 4)]
    return number(BEAT_ADDRESS_BITS), strides, counts, max(1, number(RUN_BEATS_WIDTH))


def end_of(case: Case) -> int:
    """First byte beyond, not reduced."""
    base, strides, counts, run = case
    return 8 * (base + sum(a * b for a, b in zip(strides, counts, strict=True)) + run)


def test_it_leaves_the_window_exactly_when_a_byte_does_and_takes_the_stated_cycles() -> None:
    rng = random.Random(4)
    block = Reach()
    seen: list[bool] = []

    async def bench(ctx: Any) -> None:
        for _ in range(300):
            case = draw(rng)
            base, strides, counts, run = case
            end = end_of(case)
            for limit in {end - 1, end, end - 8, end + 8, rng.getrandbits(32), (1 << 32) - 1}:
                low = rng.choice((0, 8 * base, 8 * base + 1, max(0, 8 * base - 8)))
                if not 0 <= limit < 1 << 32 or low >= 1 << 32:
                    continue
                ctx.set(block.base, base)
                ctx.set(block.run, run)
                for n in range(TERMS):
                    ctx.set(block.strides[n], strides[n])
                    ctx.set(block.counts[n], counts[n] or rng.getrandbits(4))
                ctx.set(block.zeros, sum((count == 0) << n for n, count in enumerate(counts)))
                window = {"base": low, "limit": limit}
                asked, other = rng.sample([block.read_window, block.write_window], 2)
                ctx.set(asked, window)
                ctx.set(other, {"base": 0, "limit": (1 << 32) - 1})
                ctx.set(block.start, 1)
                await ctx.tick()
                ctx.set(block.start, 0)
                cycles = 1
                while not ctx.get(block.done):
                    await ctx.tick()
                    cycles += 1
                assert cycles == block.latency_cycles + sum(count.bit_length() for count in counts)
                outside = 8 * base < low or end > limit
                leaves = [ctx.get(block.leaves_read), ctx.get(block.leaves_write)]
                leaves_other = end > (1 << 32) - 1
                wanted = [outside, leaves_other] if asked is block.read_window else [leaves_other, outside]
                assert leaves == wanted, (case, low, limit)
                seen.append(outside)

    simulate(block, bench)
    assert 100 < sum(seen) < len(seen) - 100
