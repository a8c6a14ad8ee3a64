"""cpt.hw.load.command: what LOAD_A and LOAD_E say is what the contract's layouts say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import preset
from cpt.hw.contract.step import Code, encode
from cpt.hw.contract.tiles import CodesLayout, Picture, PixelLayout
from cpt.hw.fetch.command import load_errors
from cpt.hw.load.command import LoadCommand

LONGEST_CYCLES = 100


@pytest.mark.parametrize("name", ["tiny", "middle", "zc706"])
def test_instructions_say_what_layouts_say(name: str) -> None:
    config, draw = preset(name), random.Random(name)
    block = LoadCommand(config)
    fields = {
        "walk": ("base", "bits", "groups", "tiles", "images", "group_stride", "tile_stride", "image_stride"),
        "weights": (
            "bits",
            "tiles",
            "ksteps",
            "blocks",
            "base",
            "tile_stride",
            "plane_stride",
            "block_words",
        ),
    }

    async def worked_out(ctx: Any, word: bytes, address: int, bits: int) -> None:
        ctx.set(block.command.word, int.from_bytes(word, "little"))
        ctx.set(block.command.address, address)
        ctx.set(block.command.slot_a.bits, bits)
        ctx.set(block.begin, 1)
        await ctx.tick()
        ctx.set(block.begin, 0)
        cycles = 0
        while not ctx.get(block.done):
            await ctx.tick()
            cycles += 1
            assert cycles <= LONGEST_CYCLES
        await ctx.tick()

    async def bench(ctx: Any) -> None:
        for _ in range(30):
            bits, address = draw.randint(1, 8), 16 * draw.getrandbits(20)
            if draw.random() < 0.3:
                given = {"tiles": draw.randint(1, 3), "ksteps": draw.randint(1, 4)}
                strides = {f"{name}_stride": 8 * draw.getrandbits(10) for name in ("tile", "plane")}
                await worked_out(ctx, encode(Code.LOAD_A, **given, **strides), address, bits)
                want = {**given, **strides, "bits": bits, "base": address, "blocks": 1}
                want["block_words"] = bits * given["tiles"] * given["ksteps"]
                assert not ctx.get(block.pixels)
                assert {key: ctx.get(block.weights[key]) for key in fields["weights"]} == want
                continue
            # Rows in chunks of whole tiles; of a strip, as of a picture that is no wider.
            width, height = draw.randint(1, 2 * config.cols), draw.randint(1, 40)
            picture = Picture(config, height, width)
            strip, groups, more = draw.randrange(picture.strips), draw.randint(1, 3), draw.randint(0, 2)
            of_strip = Picture(config, height, min(width, config.cols))
            in_set = PixelLayout(of_strip, 1, height).images
            images = draw.randint(1, 3 * in_set)
            image_group = draw.randrange(-(-images // in_set))
            chunk = draw.randrange(height) if picture.tile_rows == 1 else 0
            rows = 1 if picture.tile_rows == 1 else height
            if groups * bits * rows > config.half_words("a"):
                continue
            layout = CodesLayout(picture, (groups + more) * config.group_channels, draw.randint(bits, 16))
            await worked_out(
                ctx,
                encode(
                    Code.LOAD_E,
                    images=images,
                    groups=groups,
                    all_groups=groups + more if more else 0,
                    pitch_log2=picture.pitch.bit_length() - 1,
                    strips=picture.strips,
                    planes=layout.max_bits,
                    height=height,
                    width=width,
                    row=chunk * rows,
                    rows=rows,
                    image_group=image_group,
                    strip=strip,
                ),
                address,
                bits,
            )
            some = min(in_set, images - image_group * in_set)
            want = load_errors(of_strip, rows, groups, some, bits, chunk)
            assert ctx.get(block.pixels)
            assert {key: ctx.get(block.errors[key]) for key in want} == want
            tile = chunk * rows // picture.tile_rows * picture.strips + strip
            first = image_group * in_set * layout.image_stride + tile * layout.tile_stride
            assert {key: ctx.get(block.walk[key]) for key in fields["walk"]} == {
                "base": (address + first) % (1 << 32),
                "bits": bits,
                "groups": groups,
                "tiles": want["down"],
                "images": some,
                "group_stride": layout.group_stride,
                "tile_stride": layout.tile_stride * picture.strips,
                "image_stride": layout.image_stride,
            }

    simulate(block, bench)
