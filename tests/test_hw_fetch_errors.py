"""cpt.hw.fetch.errors: operand A of dW holds the golden rows of errors, part by part."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.tiles import Picture
from cpt.hw.fetch.command import load_errors
from cpt.hw.fetch.errors import Errors
from cpt.sim.bench.fetches import ErrorBuffer, ErrorFetch, ErrorShape, drawn_errors

TINY, MIDDLE = preset("tiny"), preset("middle")
WIDE = ArrayConfig("wide", rows=16, word_bits=144, cols=32, a_depth_words=64, b_depth_words=32)
"""The shape of zc706, where a row of 8 pixels is half of a ninth."""


def run(config: ArrayConfig, fetches: list[ErrorFetch]) -> None:
    """Load all chunks into halves in turn, and compare each before its half is given back."""
    rng, block, buffer = random.Random(5), Errors(config), ErrorBuffer(config)
    halves = [0, config.half_words("a")]
    commands = [command for fetch in fetches for command in fetch.commands]
    expected = [words for fetch in fetches for words in fetch.words]

    async def put_commands(ctx: Any) -> None:
        await stream_put(ctx, block.commands, commands, rng, 0.1)

    async def put_words(ctx: Any) -> None:
        for fetch in fetches:
            for words in fetch.streams:
                await stream_put(ctx, block.words, words, rng, 0.1)

    async def halves_and_memory(ctx: Any) -> None:
        given = free = loaded = 0
        ready: list[int] = []
        free = len(halves)
        write = block.write
        while loaded < len(expected):
            grant = bool(free and rng.random() < 0.5)
            ctx.set(block.slots.base, halves[given % 2])
            ctx.set(block.slots.granted, int(grant and ctx.get(block.slots.wanted)))
            if grant and ctx.get(block.slots.wanted):
                given, free = given + 1, free - 1
            if ctx.get(write.piece):
                data = [ctx.get(write.data[row]) for row in range(config.rows)]
                buffer.write(ctx.get(write.addr), ctx.get(write.piece), ctx.get(write.parts), data)
            if ctx.get(block.loaded):
                words = expected[loaded]
                found = buffer.block(halves[loaded % 2], len(words))
                assert (found == words).all(), (loaded, np.argwhere(found != words)[0])
                ready.append(loaded)
                loaded, free = loaded + 1, free + 1
            await ctx.tick()
        ctx.set(block.slots.granted, 0)
        await ctx.tick().repeat(4)
        assert ctx.get(block.idle)
        assert len(ready) == len(expected)

    simulate(block, put_commands, put_words, halves_and_memory)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (TINY, [ErrorShape(3, 8, groups=2, bits=3, images=4), ErrorShape(5, 6, groups=1, bits=2, images=1)]),
        (TINY, [ErrorShape(7, 8, groups=3, bits=2, images=3, chunks=3)]),
        (MIDDLE, [ErrorShape(5, 8, groups=2, bits=2, images=7), ErrorShape(3, 16, 1, 3, images=4, chunks=2)]),
        (WIDE, [ErrorShape(5, 8, groups=1, bits=2, images=15), ErrorShape(3, 30, 2, bits=1, images=3)]),
        (MIDDLE, [ErrorShape(4, 20, groups=2, bits=2, images=2), ErrorShape(3, 36, 2, 3, 1, chunks=2)]),
        (MIDDLE, [ErrorShape(2, 16, 1, 1, images=4), ErrorShape(3, 32, 1, 2, 1), ErrorShape(2, 64, 2, 1, 1)]),
        (WIDE, [ErrorShape(2, 80, groups=1, bits=1, images=1), ErrorShape(3, 56, 2, bits=1, images=2)]),
    ],
)  # fmt: skip
def test_a_word_of_errors_is_a_row_of_every_image(config: ArrayConfig, shapes: list[ErrorShape]) -> None:
    rng = np.random.default_rng(3)
    run(config, [drawn_errors(config, shape, rng) for shape in shapes])


def test_errors_that_do_not_fit_are_refused_with_their_words() -> None:
    with pytest.raises(ContractError, match="words of errors are 144; allowed: at most 128"):
        load_errors(Picture(TINY, 8, 8), 8, groups=6, images=1, bits=3)
    with pytest.raises(ContractError, match="images are 5; allowed in a word: at most 4"):
        load_errors(Picture(TINY, 8, 8), 8, groups=1, images=5, bits=3)
