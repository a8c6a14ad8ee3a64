"""cpt.hw.vector.packer: words of codes become planes of a group, where the layout puts them."""

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
from cpt.hw.vector.packer import Packer
from cpt.sim.fast.codes import in_tiles
from cpt.sim.step.codes import write_codes

MEMORY = 1 << 16


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


def packed(
    config: ArrayConfig,
    words: list[dict[str, Any]],
    stall: float,
    seed: int = 1,
    bus_stall: float | None = None,
) -> tuple[np.ndarray, list[int], WriteSide]:
    """Memory behind the words, runs answered at each ``done``, and the bus."""
    packer = Packer(config)
    bus = stall if bus_stall is None else bus_stall
    side = WriteSide(packer.runs, packer.beats, packer.answered, MEMORY, random.Random(seed), bus)
    done: list[int] = []
    tiles = sum(word["last"] for word in words) // config.group_channels

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packer.words, words, random.Random(seed + 1), stall)

    async def watch(ctx: Any) -> None:
        while len(done) < tiles:
            _, _, found = await ctx.tick().sample(packer.done)
            if found:
                done.append(side.answered_runs)
        await ctx.tick().repeat(3)
        assert ctx.get(packer.idle)
        await ctx.tick().repeat(50)
        assert len(done) == tiles
        assert not ctx.get(packer.runs.valid)
        assert not ctx.get(packer.beats.valid)
        side.over = True

    simulate(packer, watch, put, *side.benches(), watch=[packer.runs, packer.beats])
    return side.memory, done, side


def codes(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    return rng.integers(-(1 << bits - 1), 1 << bits, shape)


SHAPES = [
    ("tiny", (1, 8, 8), 4, 1, 0.0),
    ("tiny", (2, 5, 7), 8, 3, 0.4),
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
    memory, done, side = packed(config, words_of(layout, values, bits, base), stall)
    want = side.before.copy()
    write_codes(want, base, layout, values, bits)
    np.testing.assert_array_equal(memory, want)
    # A tile is done when the bus has answered for all its groups.
    assert done == [layout.groups * (tile + 1) for tile in range(shape[0] * layout.picture.tiles)]


def test_a_tile_is_done_with_its_last_run_though_groups_wait_behind_runs() -> None:
    config = preset("tiny")
    layout = CodesLayout(Picture(config, 6, 8), 12, max_bits=1)
    words = words_of(layout, codes(np.random.default_rng(4), (1, 6, 8, 12), 1), 1, 0)
    _, done, _ = packed(config, words, 0.0, bus_stall=0.9)
    assert done == [layout.groups * (tile + 1) for tile in range(layout.picture.tiles)]


@pytest.mark.parametrize(("name", "words_in", "beats_out"), [("middle", 2 * 8, 6), ("zc706", 2 * 16, 24)])
def test_two_groups_go_in_a_word_a_cycle_and_beats_come_out_one_a_cycle(
    name: str, words_in: int, beats_out: int
) -> None:
    config, bits = preset(name), 3
    layout = CodesLayout(Picture(config, 2, config.cols), 4 * config.group_channels, max_bits=bits)
    values = codes(np.random.default_rng(1), (1, 2, config.cols, layout.channels), bits)
    words = words_of(layout, values, bits, 0)
    packer = Packer(config)
    taken: list[int] = []
    left: list[int] = []
    wanted = len(words) // config.group_channels * beats_out

    async def put(ctx: Any) -> None:
        await stream_put(ctx, packer.words, words, random.Random(1), 0.0)

    async def watch(ctx: Any) -> None:
        ctx.set(packer.runs.ready, 1)
        ctx.set(packer.beats.ready, 1)
        cycle = 0
        while len(left) < wanted:
            _, _, goes_in, comes_out = await ctx.tick().sample(
                packer.words.valid & packer.words.ready, packer.beats.valid
            )
            taken.extend([cycle] * goes_in)
            left.extend([cycle] * comes_out)
            cycle += 1

    simulate(packer, put, watch)
    assert taken[:words_in] == list(range(taken[0], taken[0] + words_in))
    groups = [left[start : start + beats_out] for start in range(0, wanted, beats_out)]
    assert all(group == list(range(group[0], group[0] + beats_out)) for group in groups)
    gaps = [after[0] - before[-1] - 1 for before, after in itertools.pairwise(groups)]
    assert max(gaps[1:]) <= max(3, config.group_channels - beats_out + 3)
