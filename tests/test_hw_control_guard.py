"""cpt.hw.control.guard: runs inside a window pass unchanged, the first that is not stops everything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_put

from cpt.hw.control.guard import Guard

WINDOW = {"base": 0x1000_0000, "limit": 0x1000_2000}
TOP = {"base": 0xFFFF_F000, "limit": 0xFFFF_FFF8}


def pushed(window: dict[str, int], runs: list[tuple[int, int]], stall: float) -> tuple[list[Any], int, int]:
    """Runs that pass within 40 cycles of the last, and both faults."""
    guard = Guard()
    rng = random.Random(7)
    got: list[Any] = []
    ended = [False]

    async def put(ctx: Any) -> None:
        ctx.set(guard.window, window)
        for address, beats in runs:
            for _ in range(40):
                if ctx.get(guard.asked.ready):
                    break
                await ctx.tick()
            else:
                break
            await stream_put(ctx, guard.asked, [{"addr": address, "beats": beats}], rng, 0.0)
        await ctx.tick().repeat(40)
        ended[0] = True

    async def get(ctx: Any) -> None:
        while not ended[0]:
            ctx.set(guard.runs.ready, int(rng.random() >= stall))
            _, _, valid, ready, run = await ctx.tick().sample(
                guard.runs.valid, guard.runs.ready, guard.runs.payload
            )
            if valid and ready:
                got.append((run.addr, run.beats))

    faults: list[int] = []

    async def bench(ctx: Any) -> None:
        while not ended[0]:
            await ctx.tick()
        faults.extend((ctx.get(guard.leaves), ctx.get(guard.misaligned)))

    simulate(guard, put, get, bench, watch=[guard.runs])
    return got, faults[0], faults[1]


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_what_lies_in_the_window_passes(stall: float) -> None:
    runs = [(0x1000_0000, 1024), (0x1000_1FF8, 1), (0x1000_0008, 3), (0x1000_0000, 1)]
    assert pushed(WINDOW, runs, stall) == (runs, 0, 0)
    assert pushed(TOP, [(0xFFFF_FFF0, 1)], stall) == ([(0xFFFF_FFF0, 1)], 0, 0)


@pytest.mark.parametrize(
    ("window", "run", "faults"),
    [
        (WINDOW, (0x0FFF_FFF8, 1), (1, 0)),
        (WINDOW, (0x1000_0000, 1025), (1, 0)),
        (WINDOW, (0x1000_2000, 1), (1, 0)),
        (WINDOW, (0x9000_0000, 1), (1, 0)),
        (WINDOW, (0x0000_0000, (1 << 20) - 1), (1, 0)),
        (WINDOW, (0x1000_0004, 1), (0, 1)),
        (WINDOW, (0x0000_0001, 1), (0, 1)),
        # Beyond 4 GB.
        (TOP, (0xFFFF_FFF8, 1), (1, 0)),
        (TOP, (0xFFFF_FFF0, 2), (1, 0)),
    ],
)
def test_nothing_passes_from_the_first_that_does_not_on(
    window: dict[str, int], run: tuple[int, int], faults: tuple[int, int]
) -> None:
    good = (window["base"], 1)
    assert pushed(window, [good, run, good, good], 0.0) == ([good], *faults)
