"""cpt.hw.load.word_queue: runs wait for room, so that no word is lost however late words are taken."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.load.word_queue import WordQueue


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
def test_words_of_runs_come_in_order_and_no_run_passes_without_room(stall: float) -> None:
    block, rng = WordQueue(), random.Random(3)
    depth = MACHINE.reader_words
    runs = [{"addr": 16 * n, "beats": 2 * rng.choice((1, 2, 9, depth))} for n in range(12)]
    beats = [rng.getrandbits(64) for run in runs for _ in range(run["beats"])]
    want = [low | high << 64 for low, high in zip(beats[::2], beats[1::2], strict=True)]
    asked, taken = [0], [0]
    """Beats of runs that passed; words that were taken."""

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.asked, runs, rng, 0.1)

    async def memory(ctx: Any) -> None:
        # Beats come as soon as they are asked for.
        sent = 0
        while sent < len(beats):
            gives = sent < asked[0]
            ctx.set(block.beat_valid, int(gives))
            ctx.set(block.beat, beats[sent] if gives else rng.getrandbits(64))
            sent += gives
            ctx.set(block.runs.ready, int(rng.random() < 0.7))
            _, _, valid, ready, run = await ctx.tick().sample(
                block.runs.valid, block.runs.ready, block.runs.payload
            )
            if valid and ready:
                asked[0] += run.beats
                assert asked[0] // 2 - taken[0] <= depth + 2, "a run passed without room"
        ctx.set(block.beat_valid, 0)

    async def get(ctx: Any) -> None:
        for word in want:
            assert await stream_get(ctx, block.words, 1, rng, stall) == [word]
            taken[0] += 1

    simulate(block, put, memory, get, watch=[block.runs, block.words])
