"""cpt.hw.fetch.pieces: a run's parts are as long as each other, touch, and are all of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.fetch.pieces import Pieces, parts


def cut(address: int, words: int) -> list[tuple[int, int]]:
    """Address and beats of every part."""
    size = words // parts(words)
    return [(address + 16 * at, 2 * size) for at in range(0, words, size)]


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_parts_of_runs_come_in_order(stall: float) -> None:
    block, rng = Pieces(), random.Random(5)
    runs = [(16 * rng.getrandbits(27), words) for words in range(1, MACHINE.reader_words + 1)]
    rng.shuffle(runs)
    want = [part for run in runs for part in cut(*run)]

    async def put(ctx: Any) -> None:
        given = [{"addr": address, "beats": 2 * words} for address, words in runs]
        await stream_put(ctx, block.runs, given, rng, stall)

    async def get(ctx: Any) -> None:
        found: list[tuple[int, int]] = []
        while len(found) < len(want):
            ctx.set(block.pieces.ready, int(rng.random() >= stall))
            _, _, valid, ready, part, idle = await ctx.tick().sample(
                block.pieces.valid, block.pieces.ready, block.pieces.payload, block.idle
            )
            assert not (valid and idle)
            if valid and ready:
                found.append((part.addr, part.beats))
        ctx.set(block.pieces.ready, 0)
        assert found == want
        await ctx.tick().repeat(2)
        assert ctx.get(block.idle)

    simulate(block, put, get, watch=[block.pieces])


def test_parts_come_as_early_as_the_model_of_cycles_says() -> None:
    block, words = Pieces(), MACHINE.reader_words
    taken: list[int] = []
    came: list[int] = []

    async def run(ctx: Any) -> None:
        ctx.set(block.pieces.ready, 1)
        ctx.set(block.runs.payload, {"addr": 0, "beats": 2 * words})
        ctx.set(block.runs.valid, 1)
        for cycle in range(20):
            _, _, given, ready, valid = await ctx.tick().sample(
                block.runs.valid, block.runs.ready, block.pieces.valid
            )
            taken.extend([cycle] * (given and ready))
            came.extend([cycle] * valid)
            ctx.set(block.runs.valid, int(not taken))

    simulate(block, run, watch=[block.pieces])
    (begun,) = taken
    assert came == [begun + Pieces.latency_cycles + 2 * number for number in range(parts(words))]


def test_no_part_is_longer_than_said_where_words_can_be_halved() -> None:
    for words in range(1, MACHINE.reader_words + 1):
        count = parts(words)
        assert words % count == 0
        assert words // count <= MACHINE.piece_words or count == 4 or words % (2 * count)


def test_a_run_of_planes_is_read_in_parts_that_leave_room() -> None:
    """Of 3 .. 8 planes of 8 words; two parts at most of the room that a port has, so that one can come."""
    assert [parts(8 * bits) for bits in range(1, 9)] == [1, 1, 2, 2, 2, 4, 4, 4]
    assert all(8 * bits // parts(8 * bits) * 3 <= MACHINE.reader_words for bits in range(3, 9))
