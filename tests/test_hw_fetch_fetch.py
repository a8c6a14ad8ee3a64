"""cpt.hw.fetch.fetch: the words that the array reads are golden, whatever came before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_fetch import slot_checked, slot_released
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.fetch.fetch import Fetch
from cpt.sim.bench.fetches import Job, PixelShape, Shape, drawn_job

TINY, MIDDLE = preset("tiny"), preset("middle")
WIDE = ArrayConfig("wide", rows=16, word_bits=144, cols=32, a_depth_words=32, b_depth_words=32)
"""The shape of zc706."""
SHALLOW = ArrayConfig("shallow", rows=4, word_bits=36, cols=8, a_depth_words=32, b_depth_words=32)
"""Room for no more slots than a fill needs at once."""


def run(config: ArrayConfig, shapes: list[Shape | PixelShape], seed: int, stall: float) -> None:
    """Fill, read every word of every slot when it is ready, compare what is said, give it back."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    jobs: list[Job] = [drawn_job(config, shape, numbers) for shape in shapes]
    block = Fetch(config)

    async def commands(ctx: Any) -> None:
        for job in jobs:
            await stream_put(ctx, block.commands, job.commands, rng, stall)

    async def words(ctx: Any) -> None:
        for job in jobs:
            await stream_put(ctx, block.words, job.stream, rng, stall)

    async def array(ctx: Any) -> None:
        for number, job in enumerate(jobs):
            for slot, (expected, said) in enumerate(zip(job.words, job.said, strict=True)):
                await slot_checked(ctx, block, expected, said, (number, slot))
                while rng.random() < stall:
                    await ctx.tick()
                await slot_released(ctx, block)
        await ctx.tick().repeat(8)
        assert ctx.get(block.idle)

    simulate(block, commands, words, array, watch=[block.tiles])


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [Shape(4, 8, 8, 3, 1, 3), Shape(5, 6, 4, 3, 2, 1, images=3)]),
        (TINY, [Shape(4, 8, 40, 1, 2, 1), Shape(3, 3, 36, 1, 1, 2, images=1)]),
        (SHALLOW, [Shape(3, 8, 4, 3, 1, 10, images=1)]),
        (MIDDLE, [Shape(3, 33, 8, 3, 1, 1, images=1), Shape(3, 31, 8, 3, 2, 2, images=1)]),
    ],
)
def test_the_array_reads_the_windows_of_every_tile(config: ArrayConfig, shapes: list[Any]) -> None:
    run(config, shapes, seed=1, stall=0.2)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [Shape(4, 4, 8, 3, 1, 3, odd=0), Shape(5, 3, 4, 3, 1, 1, images=3, odd=1)]),
        (TINY, [Shape(3, 4, 44, 1, 1, 2, odd=1), Shape(2, 4, 4, 3, 2, 2), Shape(2, 2, 36, 1, 1, 2, odd=0)]),
        (MIDDLE, [Shape(5, 8, 8, 3, 1, 2, images=1, odd=0), Shape(5, 7, 16, 3, 1, 1, images=1, odd=1)]),
        (MIDDLE, [Shape(5, 4, 8, 3, 1, 2, images=2, odd=1), Shape(3, 8, 80, 1, 1, 1, images=1, odd=0)]),
        (WIDE, [Shape(5, 8, 16, 3, 1, 1, images=1, odd=0), Shape(3, 16, 16, 1, 1, 1, images=1, odd=1)]),
        (MIDDLE, [Shape(4, 10, 16, 3, 1, 2, images=2, odd=0), Shape(3, 16, 8, 3, 1, 1, images=1, odd=1)]),
        (
            MIDDLE,
            [
                Shape(3, 12, 80, 1, 1, 1, odd=1),
                Shape(2, 9, 8, 1, 1, 3, odd=0),
                Shape(1, 9, 8, 3, 1, 2, odd=1),
            ],
        ),
        (WIDE, [Shape(7, 7, 16, 3, 1, 8, images=2, odd=0)]),  # four slots, and tiles reach four or three
        (WIDE, [Shape(3, 28, 16, 3, 1, 1, images=2, odd=0), Shape(2, 20, 16, 1, 1, 1, images=1, odd=1)]),
    ],
)
def test_zeros_stand_between_the_pixels_of_a_spread_picture(config: ArrayConfig, shapes: list[Any]) -> None:
    run(config, shapes, seed=2, stall=0.2)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [PixelShape(3, 8, stride=1, groups=2, bits=2, images=5)]),
        (TINY, [PixelShape(5, 6, stride=2, groups=1, bits=3, images=4)]),
        (TINY, [PixelShape(5, 8, stride=1, groups=1, bits=1, images=4, chunks=3)]),
        (MIDDLE, [PixelShape(4, 15, stride=2, groups=2, bits=1, images=3)]),
        (WIDE, [PixelShape(1, 8, stride=1, groups=1, bits=1, images=16)]),
        (MIDDLE, [PixelShape(3, 20, stride=1, groups=2, bits=2, images=3)]),
        (MIDDLE, [PixelShape(4, 40, 1, 1, 2, 2, chunks=2), PixelShape(2, 64, 1, groups=1, bits=1, images=1)]),
        (MIDDLE, [PixelShape(3, 8, 1, 1, 1, 2), PixelShape(2, 20, 1, 1, 1, 2), PixelShape(3, 7, 1, 1, 1, 1)]),
        (MIDDLE, [PixelShape(5, 20, 2, 2, 1, 5), PixelShape(4, 40, 2, 1, bits=2, images=3, chunks=2)]),
        (MIDDLE, [PixelShape(3, 104, stride=2, groups=2, bits=1, images=1)]),
        (WIDE, [PixelShape(2, 56, stride=1, groups=1, bits=1, images=2)]),
    ],
)
def test_the_array_reads_pixels_along_k(config: ArrayConfig, shapes: list[Any]) -> None:
    run(config, shapes, seed=4, stall=0.1)


def test_one_set_of_memories_serves_windows_and_pixels_in_order() -> None:
    shapes = [
        PixelShape(3, 8, stride=1, groups=1, bits=2, images=5),
        Shape(3, 8, 4, 3, 1, 2, images=1),
        Shape(2, 4, 4, 3, 1, 2, images=1, odd=0),
        PixelShape(3, 6, stride=2, groups=2, bits=1, images=2),
        PixelShape(2, 6, stride=1, groups=1, bits=2, images=2),
        Shape(3, 7, 4, 1, 1, 2, images=1),
    ]
    run(TINY, shapes, seed=6, stall=0.2)
