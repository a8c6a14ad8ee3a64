"""cpt.hw.control.counters: every counter adds up by itself, and a clear reaches all."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate

from cpt.hw.contract import Counter
from cpt.hw.control.counters import Counters


async def _add(ctx: Any, block: Counters, amounts: list[int]) -> None:
    """One cycle in which every counter moves by its amount."""
    for number, amount in enumerate(amounts):
        ctx.set(block.increment[number], amount)
    await ctx.tick()


def _values(ctx: Any, block: Counters) -> list[int]:
    return [ctx.get(block.value[number]) for number in range(len(Counter))]


def test_every_counter_adds_up_what_came_and_nothing_else() -> None:
    block, rng = Counters(), random.Random(4)
    nothing, totals = [0] * len(Counter), [0] * len(Counter)

    async def bench(ctx: Any) -> None:
        for _ in range(Counters.clear_cycles):  # as after power-up
            await _add(ctx, block, nothing)
        for _ in range(200):
            amounts = [rng.choice((0, 1, 8, 16)) for _ in Counter]
            totals[:] = [total + amount for total, amount in zip(totals, amounts, strict=True)]
            await _add(ctx, block, amounts)
        for _ in range(2):
            await _add(ctx, block, nothing)
        assert _values(ctx, block) == totals

    simulate(block, bench)
    assert min(totals) > 0


def test_a_clear_is_done_after_its_cycles_and_what_comes_then_counts() -> None:
    block = Counters()
    nothing = [0] * len(Counter)

    async def bench(ctx: Any) -> None:
        for _ in range(30):
            await _add(ctx, block, [16] * len(Counter))
        ctx.set(block.clear, 1)
        await _add(ctx, block, nothing)
        ctx.set(block.clear, 0)
        for _ in range(Counters.clear_cycles - 1):
            await _add(ctx, block, nothing)
        assert _values(ctx, block) == nothing
        await _add(ctx, block, [1 + number for number in range(len(Counter))])
        for _ in range(2 * Counters.clear_cycles):
            await _add(ctx, block, nothing)
        assert _values(ctx, block) == [1 + number for number in range(len(Counter))]

    simulate(block, bench)


def test_both_halves_of_every_counter_are_cleared_after_power_up() -> None:
    """Their registers have no reset: the first clear comes by itself."""
    block = Counters()

    async def bench(ctx: Any) -> None:
        for _ in range(Counters.clear_cycles):
            await _add(ctx, block, [16] * len(Counter))
        for _ in range(40):
            await _add(ctx, block, [0] * len(Counter))
        values = _values(ctx, block)
        assert all(value <= 16 * Counters.clear_cycles for value in values)

    simulate(block, bench)
