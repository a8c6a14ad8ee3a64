"""cpt.hw.bus.outstanding: both forms of the count know their ends."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.matrix.copies import MOST_LOADS

LIMITS = pytest.mark.parametrize("limit", [2, 8, MOST_LOADS, MOST_LOADS + 1, 63])


@LIMITS
@pytest.mark.parametrize("rising", [0.2, 0.5, 0.8])
def test_the_ends_are_known_whatever_comes_and_goes(limit: int, rising: float) -> None:
    block, rng = Outstanding(limit), random.Random(limit)
    seen = set()

    async def bench(ctx: Any) -> None:
        count = 0
        for cycle in range(12 * limit):
            # up to one end, down to the other, and about
            chance = rising if cycle >= 6 * limit else float(cycle // (2 * limit) != 1)
            issue = count < limit and rng.random() < chance
            finish = count > 0 and rng.random() < 1 - chance
            assert (ctx.get(block.none), ctx.get(block.full)) == (count == 0, count == limit)
            seen.update({count} & {0, limit})
            ctx.set(block.issue, issue)
            ctx.set(block.finish, finish)
            count += issue - finish
            await ctx.tick()

    simulate(block, bench)
    assert seen == {0, limit}


@LIMITS
def test_one_may_come_while_one_goes_at_either_end(limit: int) -> None:
    block = Outstanding(limit)

    async def bench(ctx: Any) -> None:
        ctx.set(block.issue, 1)
        for _ in range(limit - 1):
            await ctx.tick()
        ctx.set(block.finish, 1)
        for _ in range(3):
            assert not ctx.get(block.none) | ctx.get(block.full)
            await ctx.tick()
        ctx.set(block.issue, 0)
        for _ in range(limit - 1):
            assert not ctx.get(block.none)
            await ctx.tick()
        assert ctx.get(block.none)

    simulate(block, bench)
