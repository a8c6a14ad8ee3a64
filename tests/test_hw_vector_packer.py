"""cpt.hw.vector.packer, packers: words of codes become planes of a group, where the layout puts them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hw_ports import WriteSide
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.hw.vector.packers import PORTS, Packers
from cpt.sim.fast.codes import in_tiles
from cpt.sim.step.codes import write_codes

MEMORY = 1 << 16
LATE = 6
"""Cycles from the last answer of a tile to its `done`, at most."""


def words_of(layout: CodesLayout, values: np.ndarray, bits: int, base: int) -> list[dict[str, Any]]:
    """What the lanes send for codes (N, H, W, channels): tile by tile, group by group, channel by channel."""
    picture = layout.picture
    group = picture.config.group_channels
    tiles = in_tiles(picture, values.transpose(0, 3, 1, 2))  # (image, channel, tile, pixel)
    words = []
    for image in range(len(values)):
        for tile in range(picture.tiles):
            for channel in range(layout.channels):
                place, lane = divmod(channel, group)
                address = base + image * layout.image_stride + tile * layout.tile_stride
                words.append(
                    {
                        "codes": [int(code) & 0xFFFF for code in tiles[image, channel, tile]],
                        "first": int(lane == 0),
                        "last": int(place == layout.groups - 1),
                        "address": address + place * layout.group_stride,
                        "bits": bits,
                    }
                )
    return words


def both(packers: Packers, stalls: tuple[float, float]) -> list[WriteSide]:
    """A bus for each port, before one memory."""
    names = ("runs", "beats", "answered")
    sides = [
        WriteSide(*(getattr(packers, f"{name}_{n}") for name in names), MEMORY, random.Random(n), stall)
        for n, stall in enumerate(stalls)
    ]
    sides[1].memory = sides[0].memory
    return sides


def packed(
    config: ArrayConfig, words: list[dict[str, Any]], stall: float, stalls: tuple[float, float] | None = None
) -> list[WriteSide]:
    """Both buses, with one memory, behind the words; ``stalls`` of each, else ``stall``.

    Each ``done`` comes when the buses have answered for all groups of a tile and those before, and soon then.
    """
    packers = Packers(config)
    sides = both(packers, stalls or (stall, stall))
    ends = [number + 1 for number, word in enumerate(words[:: config.group_channels]) if word["last"]]
    """Groups up to the end of each tile."""

    def answered() -> int:
        """Tiles that the buses have answered for."""
        groups = [side.answered_runs for side in sides]
        return sum(all(found >= (end + 1 - n) // 2 for n, found in enumerate(groups)) for end in ends)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packers.words, words, random.Random(2), stall)

    async def watch(ctx: Any) -> None:
        done, due = 0, [0] * LATE
        while done < len(ends):
            _, _, found, idle = await ctx.tick().sample(packers.done, packers.idle)
            due.append(answered())
            done += found
            assert due[-1 - LATE] <= done <= due[-1]
            assert not idle or done == due[-1]
        await ctx.tick().repeat(3)
        assert ctx.get(packers.idle)
        for _ in range(50):
            _, _, found = await ctx.tick().sample(packers.done)
            assert not found
        for side in sides:
            assert not ctx.get(side.runs.valid)
            assert not ctx.get(side.beats.valid)
            side.over = True

    streams = [stream for side in sides for stream in (side.runs, side.beats)]
    simulate(packers, watch, put, *(bench for side in sides for bench in side.benches()), watch=streams)
    assert [len(side.places) for side in sides] == [(ends[-1] + 1 - n) // 2 for n in range(PORTS)]
    return sides


def codes(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    return rng.integers(-(1 << bits - 1), 1 << bits, shape)


SHAPES = [
    ("tiny", (1, 8, 8), 4, 1, 0.0),
    ("tiny", (2, 5, 7), 12, 3, 0.4),
    ("tiny", (1, 3, 8), 8, 8, 0.0),
    ("tiny", (1, 4, 19), 4, 16, 0.2),
    ("middle", (1, 6, 8), 8, 1, 0.0),
    ("middle", (2, 3, 16), 24, 5, 0.3),
    ("middle", (1, 4, 11), 16, 16, 0.6),
    ("zc706", (1, 2, 32), 16, 1, 0.0),
    ("zc706", (1, 5, 8), 32, 3, 0.2),
]


@pytest.mark.parametrize(("name", "shape", "channels", "bits", "stall"), SHAPES)
def test_planes_lie_where_the_layout_puts_them(
    name: str, shape: tuple[int, ...], channels: int, bits: int, stall: float
) -> None:
    config = preset(name)
    layout = CodesLayout(Picture(config, *shape[1:]), channels, max_bits=bits)
    values = codes(np.random.default_rng(bits), (*shape, channels), bits)
    base = 0x150
    side = packed(config, words_of(layout, values, bits, base), stall)[0]
    want = side.before.copy()
    write_codes(want, base, layout, values, bits)
    np.testing.assert_array_equal(side.memory, want)


@pytest.mark.parametrize("stalls", [(0.9, 0.9), (0.97, 0.0), (0.0, 0.97)])
@pytest.mark.parametrize("groups", [1, 3])
def test_a_tile_is_done_with_its_last_run_though_either_port_is_late(
    stalls: tuple[float, float], groups: int
) -> None:
    config = preset("tiny")
    layout = CodesLayout(Picture(config, 12, 8), 4 * groups, max_bits=1)
    words = words_of(layout, codes(np.random.default_rng(4), (1, 12, 8, layout.channels), 1), 1, 0)
    packed(config, words, 0.0, stalls)


@pytest.mark.parametrize("late", [0, 1])
def test_a_port_that_does_not_answer_holds_the_other_one_up_and_loses_nothing(late: int) -> None:
    config, bits = preset("tiny"), 1
    layout = CodesLayout(Picture(config, 80, 8), config.group_channels, max_bits=bits)
    values = codes(np.random.default_rng(9), (1, 80, 8, layout.channels), bits)
    words = words_of(layout, values, bits, 0)
    packers = Packers(config)
    sides = both(packers, (0.0, 0.0))
    stuck, other = sides[late], sides[1 - late]

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packers.words, words, random.Random(1), 0.0)

    async def watch(ctx: Any) -> None:
        stuck.silent, done = True, 0
        for _ in range(500):
            _, _, found = await ctx.tick().sample(packers.done)
            done += found
        assert done == late
        # Two groups more wait at the port that is stuck, and each has one that follows it.
        assert len(stuck.places) + 3 <= other.answered_runs <= len(stuck.places) + 4
        stuck.silent = False
        while done < layout.picture.tiles:
            _, _, found = await ctx.tick().sample(packers.done)
            done += found
        for side in sides:
            side.over = True

    simulate(packers, watch, put, *(bench for side in sides for bench in side.benches()))
    want = sides[0].before.copy()
    write_codes(want, 0, layout, values, bits)
    np.testing.assert_array_equal(stuck.memory, want)


@pytest.mark.parametrize(("name", "beats_out"), [("middle", 6), ("zc706", 24)])
def test_four_groups_go_in_a_word_a_cycle_and_beats_come_out_one_a_cycle_at_each_port(
    name: str, beats_out: int
) -> None:
    config, bits = preset(name), 3
    layout = CodesLayout(Picture(config, 2, config.cols), 6 * config.group_channels, max_bits=bits)
    values = codes(np.random.default_rng(1), (1, 2, config.cols, layout.channels), bits)
    words = words_of(layout, values, bits, 0)
    packers = Packers(config)
    beats = (packers.beats_0, packers.beats_1)
    taken: list[int] = []
    left: list[list[int]] = [[], []]
    wanted = len(words) // config.group_channels // PORTS * beats_out

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packers.words, words, random.Random(1), 0.0)

    async def watch(ctx: Any) -> None:
        for ready in (packers.runs_0.ready, packers.runs_1.ready, *(port.ready for port in beats)):
            ctx.set(ready, 1)
        cycle = 0
        while any(len(port) < wanted for port in left):
            _, _, goes_in, *comes_out = await ctx.tick().sample(
                packers.words.valid & packers.words.ready, *(port.valid for port in beats)
            )
            taken.extend([cycle] * goes_in)
            for port, comes in zip(left, comes_out, strict=True):
                port.extend([cycle] * comes)
            cycle += 1

    simulate(packers, put, watch)
    words_in = 4 * config.group_channels
    assert taken[:words_in] == list(range(taken[0], taken[0] + words_in))
    for port in left:
        groups = [port[start : start + beats_out] for start in range(0, wanted, beats_out)]
        assert all(group == list(range(group[0], group[0] + beats_out)) for group in groups)
        gaps = [after[0] - before[-1] - 1 for before, after in itertools.pairwise(groups)]
        assert max(gaps[1:]) <= max(3, PORTS * config.group_channels - beats_out + 3)


@pytest.mark.parametrize("name", ["tiny", "middle", "zc706"])
def test_no_tile_is_done_sooner_than_the_lanes_count_on(name: str) -> None:
    """By a bus that answers with the last beat of a plane, as none does."""
    config = preset(name)
    layout = CodesLayout(Picture(config, 1, config.cols), config.group_channels, max_bits=1)
    words = words_of(layout, codes(np.random.default_rng(1), (1, 1, config.cols, layout.channels), 1), 1, 0)
    packers = Packers(config)
    cycles: dict[str, int] = {}

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packers.words, words, random.Random(1), 0.0)

    async def watch(ctx: Any) -> None:
        ctx.set(packers.runs_0.ready, 1)
        ctx.set(packers.beats_0.ready, 1)
        run, beats, left = packers.runs_0, packers.beats_0, 0
        for cycle in range(200):
            ctx.set(packers.answered_0, int(left == 1 and ctx.get(beats.valid)))
            took = ctx.get(packers.words.valid & packers.words.ready)
            left = ctx.get(run.payload.beats) if ctx.get(run.valid) else left - ctx.get(beats.valid)
            done = ctx.get(packers.done)
            await ctx.tick()
            if took:
                cycles["word"] = cycle
            if done:
                cycles["done"] = cycle
                return

    simulate(packers, put, watch)
    assert cycles["done"] - cycles["word"] >= Packers.least_cycles
