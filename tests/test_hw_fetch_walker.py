"""cpt.hw.fetch.walker: a run for every image, tile and group, of the planes that the precision has."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.contract import preset
from cpt.hw.fetch.walker import FetchWalker
from cpt.sim.bench.fetches import Shape, drawn_fetch


@pytest.mark.parametrize("name", ["tiny", "zc706"])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_runs_are_the_planes_of_every_group_in_order(name: str, stall: float) -> None:
    config = preset(name)
    rng, numbers = random.Random(3), np.random.default_rng(3)
    shapes = [Shape(3, 8, 9, 3, 1, 3, room=2), Shape(2, 2 * config.cols, 33, 1, 2, 5, images=1)][
        : config.cols // 8
    ]
    fetches = [drawn_fetch(config, shape, numbers, 0x2000 * n) for n, shape in enumerate(shapes, 1)]
    want = [run for fetch in fetches for run in fetch.beats()]
    block = FetchWalker(config)
    found: list[tuple[int, int]] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [fetch.command for fetch in fetches], rng, stall)

    async def get(ctx: Any) -> None:
        found.extend(
            (run.addr, run.beats) for run in await stream_get(ctx, block.runs, len(want), rng, stall)
        )
        await ctx.tick().repeat(3)
        assert ctx.get(block.idle)
        assert not ctx.get(block.runs.valid)

    simulate(block, put, get, watch=[block.runs])
    assert found == want


def test_no_run_starts_while_it_is_stopped() -> None:
    config = preset("tiny")
    fetch = drawn_fetch(config, Shape(3, 8, 4, 3, 1, 3, images=1), np.random.default_rng(1))
    block = FetchWalker(config)

    async def bench(ctx: Any) -> None:
        ctx.set(block.stop, 1)
        await stream_put(ctx, block.commands, [fetch.command], random.Random(0), 0)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(block.runs.valid)
        ctx.set(block.stop, 0)
        assert len(await stream_get(ctx, block.runs, len(fetch.runs), random.Random(0), 0)) == len(fetch.runs)

    simulate(block, bench, watch=[block.runs])
