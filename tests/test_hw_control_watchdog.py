"""cpt.hw.control.watchdog: it expires after its limit of cycles without progress, and only then."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.control.watchdog import Watchdog

LATENCY = Watchdog.latency_cycles


def expired(limit: int, cycles: list[tuple[int, int]]) -> list[int]:
    """``expired`` in every cycle in which ``busy`` and ``progress`` are as given."""
    block, seen = Watchdog(), []

    async def bench(ctx: Any) -> None:
        ctx.set(block.limit, limit)
        for busy, progress in cycles:
            ctx.set(block.busy, busy)
            ctx.set(block.progress, progress)
            _, _, value = await ctx.tick().sample(block.expired)
            seen.append(value)

    simulate(block, bench)
    return seen


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_it_expires_its_limit_and_its_latency_after_the_last_progress(limit: int) -> None:
    seen = expired(limit, [(1, 1)] * 5 + [(1, 0)] * 20)
    assert seen == [0] * (5 + limit + LATENCY) + [1] * (20 - limit - LATENCY)


@pytest.mark.parametrize("seen_by_it", [(1, 1), (0, 0), (0, 1)])
def test_progress_or_rest_starts_the_count_again(seen_by_it: tuple[int, int]) -> None:
    stuck = [(1, 0)]
    assert not any(expired(6, (stuck * 5 + [seen_by_it]) * 8))
    seen = expired(6, stuck * 20 + [seen_by_it] + stuck * 20)
    # The one cycle is seen when it has passed two registers.
    assert seen[6 + LATENCY : 22] == [1] * 13
    assert seen[22 : 21 + 6 + LATENCY] == [0] * 8
    assert all(seen[21 + 6 + LATENCY :])


def test_a_limit_of_nothing_turns_it_off() -> None:
    assert not any(expired(0, [(1, 0)] * 40))


@pytest.mark.parametrize("limit", [1, 4])
def test_it_says_in_every_cycle_what_the_cycles_before_were(limit: int) -> None:
    rng = random.Random(limit)
    cycles = [(int(rng.random() < 0.98), int(rng.random() < 0.15)) for _ in range(600)]
    stuck = [bool(busy and not progress) for busy, progress in cycles]
    window = limit + LATENCY - 1
    want = [
        int(cycle >= window + 1 and all(stuck[cycle - 1 - window : cycle - 1]))
        for cycle in range(len(cycles))
    ]
    assert expired(limit, cycles) == want
    assert 20 < sum(want) < 500
