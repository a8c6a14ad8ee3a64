"""cpt.hw.fetch.windows: the words that the array reads are those of the golden function."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.fetch.window_memory import WindowMemory
from cpt.hw.fetch.windows import Windows
from cpt.sim.bench.fetches import Fetch, Shape, drawn_fetch

TINY = preset("tiny")
MIDDLE = preset("middle")
WIDE = ArrayConfig("wide", rows=16, word_bits=144, cols=32, a_depth_words=32, b_depth_words=32)
"""The shape of zc706."""
SHALLOW = ArrayConfig("shallow", rows=4, word_bits=36, cols=8, a_depth_words=32, b_depth_words=32)
"""Room for no more slots than a fill needs at once."""


def run(config: ArrayConfig, fetches: list[Fetch], seed: int, stall: float) -> None:
    """Fill, read every word of every tile when it is ready, compare inside of the image, give it back."""
    rng = random.Random(seed)
    block = Windows(config)

    async def commands(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [fetch.command for fetch in fetches], rng, stall)

    async def words(ctx: Any) -> None:
        for fetch in fetches:
            await stream_put(ctx, block.words, fetch.stream(), rng, stall)

    async def array(ctx: Any) -> None:
        for number, fetch in enumerate(fetches):
            for tile, (expected, inside) in enumerate(zip(fetch.words, fetch.inside, strict=True)):
                ctx.set(block.tiles.ready, 1)
                *_, base = await ctx.tick().sample(block.tiles.payload).until(block.tiles.valid)
                ctx.set(block.tiles.ready, 0)
                found = []
                for at in range(len(expected) + WindowMemory.latency_cycles):
                    for half in range(2):
                        ctx.set(block.read.addr[half], (base + min(at, len(expected) - 1)))
                    if at >= WindowMemory.latency_cycles:
                        found.append([ctx.get(block.read.data[column]) for column in range(config.cols)])
                    await ctx.tick()
                for word, (got, want) in enumerate(zip(found, expected, strict=True)):
                    for column in np.flatnonzero(inside):
                        assert got[column] == want[column], (number, tile, word, column)
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(block.release, 1)
                await ctx.tick()
                ctx.set(block.release, 0)
        await ctx.tick().repeat(8)
        assert ctx.get(block.idle)

    simulate(block, commands, words, array, watch=[block.tiles])


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [Shape(4, 8, 8, 3, 1, 3), Shape(5, 6, 4, 3, 2, 1, images=3)]),
        (TINY, [Shape(4, 8, 40, 1, 2, 1), Shape(3, 3, 36, 1, 1, 2, images=1)]),
        (SHALLOW, [Shape(3, 8, 4, 3, 1, 10, images=1)]),
    ],
)  # fmt: skip
def test_the_array_reads_the_windows_of_every_tile(config: ArrayConfig, shapes: list[Shape]) -> None:
    rng = np.random.default_rng(7)
    run(config, [drawn_fetch(config, shape, rng) for shape in shapes], seed=1, stall=0.2)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [Shape(4, 4, 8, 3, 1, 3, odd=0), Shape(5, 3, 4, 3, 1, 1, images=3, odd=1)]),
        (TINY, [Shape(3, 4, 44, 1, 1, 2, odd=1), Shape(2, 4, 4, 3, 2, 2), Shape(2, 2, 36, 1, 1, 2, odd=0)]),
        (MIDDLE, [Shape(5, 8, 8, 3, 1, 2, images=1, odd=0), Shape(5, 7, 16, 3, 1, 1, images=1, odd=1)]),
        (MIDDLE, [Shape(5, 4, 8, 3, 1, 2, images=2, odd=1), Shape(3, 8, 80, 1, 1, 1, images=1, odd=0)]),
        (WIDE, [Shape(5, 8, 16, 3, 1, 1, images=1, odd=0), Shape(3, 16, 16, 1, 1, 1, images=1, odd=1)]),
    ],
)  # fmt: skip
def test_zeros_stand_between_the_pixels_of_a_spread_picture(config: ArrayConfig, shapes: list[Shape]) -> None:
    rng = np.random.default_rng(11)
    run(config, [drawn_fetch(config, shape, rng) for shape in shapes], seed=2, stall=0.2)
