"""Shared by the tests of the fetch: reads slots of the window memories as EXEC does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpt.hw.fetch.window_memory import HALVES, WindowMemory


async def slot_checked(
    ctx: Any, block: Any, expected: NDArray[np.object_], said: NDArray[np.object_], what: Any
) -> None:
    """Take the next slot and compare all its words ``(words, columns)``, in the bits that are ``said``."""
    ctx.set(block.tiles.ready, 1)
    *_, base = await ctx.tick().sample(block.tiles.payload).until(block.tiles.valid)
    ctx.set(block.tiles.ready, 0)
    for at in range(len(expected) + WindowMemory.latency_cycles):
        for half in range(HALVES):
            ctx.set(block.read.addr[half], base + min(at, len(expected) - 1))
        word = at - WindowMemory.latency_cycles
        if word >= 0:
            for column in np.flatnonzero(said):
                found = ctx.get(block.read.data[column]) & said[column]
                want = expected[word][column] & said[column]
                assert found == want, (what, word, column)
        await ctx.tick()


async def slot_released(ctx: Any, block: Any) -> None:
    """Give the oldest slot back."""
    ctx.set(block.release, 1)
    await ctx.tick()
    ctx.set(block.release, 0)
