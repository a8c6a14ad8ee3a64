"""cpt.hw.matrix.popcount: ones of ``a & b``, every cycle."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.matrix.popcount import Popcount


@pytest.mark.parametrize("word_bits", [1, 2, 8, 24, 48, 72, 144])
def test_ones_are_counted_in_every_cycle(word_bits: int) -> None:
    rng = random.Random(word_bits)
    full = (1 << word_bits) - 1
    pairs = [(full, full), (0, full), (full, 0)]
    pairs += [
        (rng.getrandbits(word_bits), rng.getrandbits(word_bits) | full * rng.randint(0, 1)) for _ in range(40)
    ]
    block = Popcount(word_bits)
    counts: list[int] = []

    async def bench(ctx: Any) -> None:
        for a, b in pairs + [(0, 0)] * block.latency_cycles:
            ctx.set(block.a, a)
            ctx.set(block.b, b)
            await ctx.tick()
            counts.append(ctx.get(block.count))

    simulate(block, bench)
    # The count of pair n stands after `latency_cycles` edges, the first of which is in iteration n.
    late = block.latency_cycles - 1
    assert counts[late : late + len(pairs)] == [bin(a & b).count("1") for a, b in pairs]
