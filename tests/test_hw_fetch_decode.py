"""cpt.hw.fetch.decode: of every instruction word the fields that cpt.hw.fetch.command states."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.passes import Kernel, Sampling
from cpt.hw.contract.step import Code, encode
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.hw.fetch.command import (
    codes_walk,
    fetch_command,
    fetch_pixels,
    fetch_windows,
    first_row,
    payload,
    rows_walk,
)
from cpt.hw.fetch.decode import Decode
from cpt.sim.bench.fetches import PixelShape, Shape

Words = list[tuple[dict[str, Any], dict[str, int]]]
"""Of each command the payload for the fetch, and its walk."""


def pitch_log2(picture: Picture) -> int:
    return picture.pitch.bit_length() - 1


def of_windows(
    config: ArrayConfig, shape: Shape, more_groups: int, base: int
) -> tuple[dict[str, int], Words]:
    """Fields of a FETCH, of whose tensor memory holds more groups, and what must come of it."""
    layout = shape.layout(config)
    source, output = layout.source, layout.output
    groups = layout.groups + more_groups
    codes = CodesLayout(source, groups * config.group_channels, min(shape.bits + shape.room, 16))
    sampling = Sampling.SPREAD if layout.spread else Sampling.STRIDE if shape.stride == 2 else Sampling.SAME
    fields = {
        "kernel": int(Kernel.THREE if shape.kernel == 3 else Kernel.ONE),
        "sampling": int(sampling),
        "images": shape.images,
        "pad": shape.kernel // 2,
        "groups": layout.groups,
        "all_groups": groups if more_groups else 0,
        "planes": codes.max_bits,
        "pitch_log2": pitch_log2(source),
        "out_pitch_log2": pitch_log2(output),
        "strips": source.strips,
        "out_strips": output.strips,
        "height": source.height,
        "width": source.width,
        "out_height": output.height,
        "out_width": output.width,
    }
    command = fetch_windows(layout, shape.images, shape.bits)
    walk = codes_walk(codes, shape.images, shape.bits, base) | {"groups": layout.groups}
    return fields, [(payload(command), walk)]


def of_pixels(
    config: ArrayConfig,
    shape: PixelShape,
    groups: int,
    all_groups: int,
    chunk: int,
    image_group: int,
    base: int,
) -> tuple[dict[str, int], Words]:
    """Fields of a FETCH_X, and what must come of it, a pair of groups at a time."""
    layout = shape.layout(config)
    source, output = layout.source, layout.output
    codes = CodesLayout(source, (all_groups or groups) * config.group_channels, shape.bits)
    row = chunk * layout.rows
    fields = {
        "kernel": int(Kernel.THREE),
        "sampling": int(Sampling.STRIDE if shape.stride == 2 else Sampling.SAME),
        "images": shape.images,
        "pad": 1,
        "groups": groups,
        "all_groups": all_groups,
        "planes": shape.bits,
        "pitch_log2": pitch_log2(source),
        "out_pitch_log2": pitch_log2(output),
        "strips": source.strips,
        "out_strips": output.strips,
        "height": source.height,
        "width": source.width,
        "row": row,
        "rows": min(layout.rows, output.height - row),
        "image_group": image_group,
    }
    images = min(layout.images, shape.images - image_group * layout.images)
    start = base + image_group * layout.images * codes.image_stride
    start += first_row(layout, chunk) * source.strips * codes.tile_stride
    found = []
    for first in range(0, groups, 2):
        together = min(groups - first, 2)
        command = fetch_pixels(layout, together, images, shape.bits, chunk, rows=fields["rows"])
        walk = rows_walk(codes, images, shape.bits, start + first * codes.group_stride)
        found.append((payload(command), walk | {"groups": together, "tiles": command["down"]}))
    return fields, found


def drawn(config: ArrayConfig, draw: random.Random) -> tuple[Code, dict[str, int], int, int, Words]:
    """A word's code and fields, bits, the address of its codes, and what must come of it."""
    base = 16 * draw.randrange(1 << 20)
    if draw.random() < 0.5:
        shape = Shape.random(config)
        fields, words = of_windows(config, shape, draw.choice((0, 3)), base)
        return Code.FETCH, fields, shape.bits, base, words
    pixels = PixelShape.random(config)
    layout, groups = pixels.layout(config), draw.randint(1, 5)
    fields, words = of_pixels(
        config,
        pixels,
        groups,
        draw.choice((0, groups + 2)),
        draw.randrange(layout.chunks),
        draw.randrange(-(-pixels.images // layout.images)),
        base,
    )
    return Code.FETCH_X, fields, pixels.bits, base, words


async def ask(ctx: Any, block: Decode, code: Code, fields: dict[str, int], bits: int, base: int) -> int:
    """Give a word in; the cycles until it is known."""
    word = int.from_bytes(encode(code, **fields), "little")
    slot = {"bits": bits, "signed": 0}
    ctx.set(block.command, {"word": word, "address": base, "slot_a": slot, "slot_b": slot})
    await ctx.tick()
    return await told(ctx, block, block.start)


async def told(ctx: Any, block: Decode, flag: Any) -> int:
    ctx.set(flag, 1)
    await ctx.tick()
    ctx.set(flag, 0)
    cycles = 1
    while not ctx.get(block.known):
        await ctx.tick()
        cycles += 1
        assert cycles < 200
    return cycles


@pytest.mark.parametrize("name", ["tiny", "middle", "zc706"])
def test_a_word_means_what_the_commands_state(name: str) -> None:
    config, draw = preset(name), random.Random(name)
    block = Decode(config)

    async def bench(ctx: Any) -> None:
        random.seed(name)
        slowest = 0
        for _ in range(40):
            code, fields, bits, base, want = drawn(config, draw)
            slowest = max(slowest, await ask(ctx, block, code, fields, bits, base))
            for number, (command, walk) in enumerate(want):
                assert not ctx.get(block.bad), fields
                expected = fetch_command(config).const(command).as_bits()
                assert ctx.get(block.fetch).as_bits() == expected, (fields, command, ctx.get(block.fetch))
                found = ctx.get(block.walk)
                assert {key: found[key] for key in walk} == walk, fields
                assert ctx.get(block.last) == (number == len(want) - 1)
                if number < len(want) - 1:
                    await told(ctx, block, block.again)
        assert slowest < 80

    simulate(block, bench)


WINDOWS = {
    "kernel": int(Kernel.THREE),
    "images": 1,
    "pad": 1,
    "groups": 1,
    "planes": 8,
    "pitch_log2": 4,
    "out_pitch_log2": 4,
    "strips": 1,
    "out_strips": 1,
    **dict.fromkeys(("height", "width", "out_height", "out_width"), 12),
}
PIXELS = {
    "kernel": int(Kernel.THREE),
    "images": 2,
    "pad": 1,
    "groups": 2,
    "planes": 8,
    "pitch_log2": 4,
    "out_pitch_log2": 4,
    "strips": 1,
    "out_strips": 1,
    "height": 4,
    "width": 12,
    "rows": 4,
}
SPREAD = {"sampling": int(Sampling.SPREAD)}
STRIDE = {"sampling": int(Sampling.STRIDE)}
FEW = {"height": 4, "width": 6, "pitch_log2": 3}
"""A picture whose outputs, spread, are 7 or 8 tiles."""
WIDE = {"width": 20, "out_width": 20, "strips": 2, "out_strips": 2}


REFUSED = [
    (Code.FETCH, {}, False),
    (Code.FETCH, WIDE, False),
    (Code.FETCH, {"pitch_log2": 3}, True),
    (Code.FETCH, {"out_pitch_log2": 5}, True),
    (Code.FETCH, {"strips": 2}, True),
    (Code.FETCH, WIDE | {"out_strips": 1}, True),
    (Code.FETCH, {"out_height": 11}, True),
    (Code.FETCH, {"out_width": 13}, True),
    (Code.FETCH, {"pad": 0}, True),
    (Code.FETCH, {"planes": 1}, True),
    (Code.FETCH, {"groups": 42}, False),
    (Code.FETCH, {"groups": 43}, True),
    (Code.FETCH, {"groups": 43, "kernel": 0, "pad": 0}, False),
    (Code.FETCH, STRIDE | {"out_height": 6, "out_width": 6, "out_pitch_log2": 3}, False),
    (Code.FETCH, STRIDE | {"out_height": 6, "out_width": 6}, True),
    (Code.FETCH, STRIDE | WIDE | {"width": 40, "strips": 3, "out_height": 6}, True),
    (Code.FETCH, SPREAD | {"height": 6, "width": 6, "pitch_log2": 3}, False),
    (Code.FETCH, SPREAD | {"height": 7, "width": 6, "pitch_log2": 3}, True),
    (Code.FETCH, SPREAD | FEW | {"out_height": 7, "groups": 32}, False),
    (Code.FETCH, SPREAD | FEW | {"out_height": 7, "groups": 33}, True),
    (Code.FETCH, SPREAD | FEW | {"out_height": 8, "groups": 25}, False),
    (Code.FETCH, SPREAD | FEW | {"out_height": 8, "groups": 26}, True),
    (Code.FETCH, SPREAD | WIDE | {"height": 6, "width": 10, "strips": 1}, False),
    (Code.FETCH, SPREAD | WIDE | {"height": 6, "width": 10}, True),
    (Code.FETCH, SPREAD | {"height": 6, "width": 17, "strips": 2, "out_width": 34, "out_strips": 3}, True),
    (Code.FETCH_X, {}, False),
    (Code.FETCH_X, {"rows": 3}, False),
    (Code.FETCH_X, {"row": 1, "rows": 3}, False),
    (Code.FETCH_X, {"row": 1}, True),
    (Code.FETCH_X, {"width": 20, "strips": 2, "out_strips": 2}, False),
    (Code.FETCH_X, {"width": 20, "strips": 2}, True),
    (Code.FETCH_X, {"width": 20, "strips": 1, "out_strips": 2}, True),
    (Code.FETCH_X, {"width": 64, "strips": 4, "out_strips": 4, "image_group": 1}, False),
    (Code.FETCH_X, {"width": 65, "strips": 5, "out_strips": 5, "image_group": 1}, True),
    (Code.FETCH_X, STRIDE | {"width": 128, "strips": 8, "out_strips": 4, "rows": 2}, False),
    (Code.FETCH_X, STRIDE | {"width": 129, "strips": 9, "out_strips": 5, "rows": 2}, True),
    (Code.FETCH_X, {"pad": 0}, True),
    (Code.FETCH_X, {"image_group": 1}, True),
    (Code.FETCH_X, {"image_group": 1, "images": 5}, False),
    (Code.FETCH_X, {"height": 40, "rows": 40}, False),
    (Code.FETCH_X, {"height": 41, "rows": 41}, True),
    (Code.FETCH_X, {"width": 8, "pitch_log2": 3, "out_pitch_log2": 3}, False),
    (Code.FETCH_X, {"width": 8, "pitch_log2": 3, "out_pitch_log2": 3, "rows": 2}, True),
]
"""Of either instruction changed fields, and whether that is refused."""


def test_words_that_the_fetch_cannot_do_or_that_contradict_themselves_are_refused() -> None:
    block = Decode(preset("middle"))

    async def bench(ctx: Any) -> None:
        for code, changes, refused in REFUSED:
            fields = (WINDOWS if code is Code.FETCH else PIXELS) | changes
            await ask(ctx, block, code, fields, 2, 0)
            assert ctx.get(block.bad) == refused, (code, changes)

    simulate(block, bench)


def test_an_array_of_8_columns_takes_no_strips() -> None:
    block = Decode(preset("tiny"))
    strips = WIDE | {"pitch_log2": 3, "out_pitch_log2": 3, "strips": 3, "out_strips": 3}
    along = {name: value for name, value in strips.items() if name != "out_width"}

    async def bench(ctx: Any) -> None:
        for code, fields in ((Code.FETCH, WINDOWS | strips), (Code.FETCH_X, PIXELS | along)):
            await ask(ctx, block, code, fields, 2, 0)
            assert ctx.get(block.bad)

    simulate(block, bench)
