"""cpt.hw.vector.lanes: instructions of drain and apply leave what the step model leaves."""

from __future__ import annotations

import pytest
from vector_machine import BANK, LAST_CHANNEL, Bench

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.passes import Apply, Drain, noise_place
from cpt.hw.contract.step import Engine
from cpt.hw.contract.tiles import Picture

TINY, MIDDLE = preset("tiny"), preset("middle")
A, B, C, D = (BANK * n for n in range(4))
AFTER = {"wait0_engine": int(Engine.APPLY), "wait1_engine": int(Engine.DRAIN)}


def drains(bench: Bench, picture: Picture, images: int) -> None:
    """Every DRAIN, the operands of one in different banks."""
    group = bench.config.group_channels
    bench.drain(Drain.FORWARD, picture, 2 * group, images, out=A)
    bench.drain(Drain.INNER_ERROR, picture, 2 * group, images, out=B, y=C)
    bench.drain(Drain.FORWARD, picture, group, images, out=A, keeps=1)
    bench.drain(Drain.SHORTCUT_ERROR, picture, group, images, out=D, channel=group)
    bench.drain(
        Drain.BLOCK_ERROR, picture, group, images, out=D, y=C, stream=D // BANK, mask=A // BANK, channel=2
    )
    bench.drain(Drain.GRADIENT, picture, 2 * group, 1, tiles=2, out=8, first=1)
    bench.drain(Drain.GRADIENT, picture, 2 * group, 1, tiles=2, out=8)


def applies(bench: Bench, picture: Picture, images: int) -> None:
    """Every APPLY, codes beside codes."""
    group, one = bench.config.group_channels, {"channel": 3}
    size = images * bench.layout(picture, group).image_stride
    bench.apply(Apply.INNER, picture, 2 * group, images, y=A, offset=0)
    bench.apply(Apply.CODE, picture, group, images, y=B, offset=2 * size, channel=5)
    # The last channel is none.
    errors = {"channel": LAST_CHANNEL - 2 * group, "lacking": 1}
    bench.apply(Apply.ERROR, picture, 2 * group, images, y=C, second=D // BANK, offset=3 * size, **errors)
    bench.apply(Apply.IMAGE, picture, group, images, y=D, offset=5 * size, **one)
    mask = {"offset": 6 * size, "planes": 1}
    bench.apply(Apply.BLOCK, picture, group, images, y=A, second=B // BANK, out=C // BANK, **one, **mask)
    bench.apply(Apply.COUNT, picture, group, images, y=C, second=D // BANK, channel=group)
    bench.apply(Apply.COUNT, picture, group, images, y=D, second=D // BANK, channel=2 * group)
    bench.apply(Apply.POOL, picture, group, images, y=C, out=41, lacking=1)
    more = {"offset": B + 3, "out": 97, "channel": 1, "lacking": 1}
    bench.apply(Apply.UNPOOL, picture, group, images, y=A, second=C // BANK, **more)


@pytest.mark.parametrize(("height", "width", "stall"), [(3, 7, 0.0), (2, 11, 0.4)])
def test_drains_leave_words_and_statistics(height: int, width: int, stall: float) -> None:
    bench = Bench(TINY, seed=height, bits=8)
    drains(bench, Picture(TINY, height, width), 2)
    bench.run(stall)


@pytest.mark.parametrize(("height", "width", "bits", "stall"), [(3, 7, 3, 0.0), (2, 11, 8, 0.4)])
def test_applies_leave_codes_words_and_sums(height: int, width: int, bits: int, stall: float) -> None:
    bench = Bench(TINY, seed=height, bits=bits)
    applies(bench, Picture(TINY, height, width), 2)
    bench.run(stall)


def test_operands_in_one_bank_come_one_after_the_other() -> None:
    bench, picture = Bench(TINY, seed=5), Picture(TINY, 2, 8)
    bench.drain(Drain.BLOCK_ERROR, picture, 4, 2, out=B, y=A + 20, stream=A // BANK, mask=A // BANK)
    bench.apply(Apply.BLOCK, picture, 8, 2, y=C + 32, second=C // BANK, out=D // BANK, channel=12)
    bench.run(0.2)


def test_part_of_a_tensor_has_its_noise_and_leaves_room_for_the_rest() -> None:
    bench, picture, group = Bench(TINY, seed=9), Picture(TINY, 2, 8), TINY.group_channels
    part = {"channel": 3, "lacking": -3 * group, "out": noise_place(3, 2)}
    bench.apply(Apply.ERROR, picture, 2 * group, 2, y=C, second=D // BANK, offset=0, **part)
    behind = 2 * bench.layout(picture, 5 * group).image_stride
    bench.apply(Apply.INNER, picture, group, 2, y=A, offset=behind, lacking=-group)
    bench.run()


def test_applies_follow_drains_tile_by_tile() -> None:
    bench, picture = Bench(TINY, seed=6), Picture(TINY, 3, 8)
    bench.drain(Drain.FORWARD, picture, 8, 2, out=A)
    follow = {"wait0_engine": int(Engine.DRAIN), "wait0_first": 2, "wait0_step": 2}
    bench.apply(Apply.INNER, picture, 8, 2, y=A, **follow)
    bench.drain(Drain.FORWARD, picture, 8, 2, out=A, channel=8, wait0_engine=int(Engine.BRING), wait0_first=2)
    last = {"wait0_engine": int(Engine.DRAIN), "wait0_first": 14, "wait0_step": 2}
    last["offset"] = 2 * bench.layout(picture, 8).image_stride
    bench.apply(Apply.BLOCK, picture, 8, 2, y=A, second=B // BANK, out=C // BANK, channel=16, **last)
    bench.run(0.1, moved=[1, 2])


def rate(config: ArrayConfig, images: int) -> tuple[int, int]:
    """Cycles of a long BLOCK, and its words."""
    bench, picture = Bench(config, seed=7), Picture(config, config.cols // 8, 8)
    channels = 2 * config.group_channels
    bench.apply(Apply.INNER, picture, channels, images, y=A)
    return bench.run(), images * channels


def test_a_word_a_cycle() -> None:
    short, few = rate(TINY, 2)
    long, many = rate(TINY, 8)
    assert long - short == many - few


def test_the_middle_shape_runs_both_engines() -> None:
    bench, picture = Bench(MIDDLE, seed=8), Picture(MIDDLE, 3, 9)
    bench.drain(Drain.FORWARD, picture, 16, 2, out=A)
    bench.apply(Apply.ERROR, picture, 16, 2, y=C, second=D // BANK, channel=LAST_CHANNEL - 16)
    bench.run(0.1)
