"""cpt.hw.fetch.pixels: words along K are those of the golden function, copies and zero rows included."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.fetch.pixels import Pixels
from cpt.hw.fetch.window_memory import WindowMemory
from cpt.sim.bench.fetches import PixelShape, drawn_pixels

TINY = preset("tiny")
WIDE = ArrayConfig("wide", rows=16, word_bits=144, cols=32, a_depth_words=32, b_depth_words=32)
"""Where a row of 8 pixels is less than a group's worth of them."""


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (TINY, PixelShape(3, 8, stride=1, groups=2, bits=2, images=5)),
        (TINY, PixelShape(5, 6, stride=2, groups=1, bits=3, images=4)),
        (TINY, PixelShape(5, 8, stride=1, groups=1, bits=1, images=4, chunks=3)),
        (WIDE, PixelShape(1, 8, stride=1, groups=1, bits=1, images=16)),
    ],
)
def test_the_array_reads_pixels_along_k(config: ArrayConfig, shape: PixelShape) -> None:
    rng = random.Random(4)
    fetch = drawn_pixels(config, shape, np.random.default_rng(4))
    block = Pixels(config)

    async def commands(ctx: Any) -> None:
        await stream_put(ctx, block.commands, fetch.commands, rng, 0)

    async def data(ctx: Any) -> None:
        await stream_put(ctx, block.words, fetch.stream, rng, 0.1)

    async def array(ctx: Any) -> None:
        for number, slot in enumerate(fetch.words):
            ctx.set(block.tiles.ready, 1)
            *_, base = await ctx.tick().sample(block.tiles.payload).until(block.tiles.valid)
            ctx.set(block.tiles.ready, 0)
            for at in range(len(slot) + WindowMemory.latency_cycles):
                word = at - WindowMemory.latency_cycles
                for half in range(2):
                    ctx.set(block.read.addr[half], base + min(at, len(slot) - 1))
                if word >= 0:
                    for column in range(config.cols):
                        found = ctx.get(block.read.data[column]) & fetch.mask
                        assert found == slot[word, column] & fetch.mask, (number, word, column)
                await ctx.tick()
            ctx.set(block.release, 1)
            await ctx.tick()
            ctx.set(block.release, 0)
        await ctx.tick().repeat(8)
        assert ctx.get(block.idle)

    simulate(block, commands, data, array, watch=[block.tiles])
