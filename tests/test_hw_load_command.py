"""cpt.hw.load.command: what LOAD_A and LOAD_E say is what the contract's layouts say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import preset
from cpt.hw.contract.step import Code, encode
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.hw.fetch.command import load_errors, rows_walk
from cpt.hw.load.command import LoadCommand
from cpt.sim.bench.fetches import widest_strips

LONGEST_CYCLES = 100


@pytest.mark.parametrize("name", ["tiny", "middle", "zc706"])
def test_instructions_say_what_layouts_say(name: str) -> None:
    config, draw = preset(name), random.Random(name)
    block = LoadCommand(config)
    of_weights = (
        "bits",
        "tiles",
        "ksteps",
        "blocks",
        "base",
        "tile_stride",
        "plane_stride",
        "block_words",
    )

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
                given = {"tiles": draw.randint(1, 3), "ksteps": draw.choice((1, 2, 4, 24, 64))}
                strides = {f"{name}_stride": 8 * draw.getrandbits(10) for name in ("tile", "plane")}
                await worked_out(ctx, encode(Code.LOAD_A, **given, **strides), address, bits)
                want = {**given, **strides, "bits": bits, "base": address, "blocks": 1}
                want["block_words"] = bits * given["tiles"] * given["ksteps"]
                assert not ctx.get(block.pixels)
                beyond = want["block_words"] > config.half_words("a")
                assert ctx.get(block.bad) == beyond
                assert beyond or {key: ctx.get(block.weights[key]) for key in of_weights} == want
                continue
            # Rows in chunks of whole tiles.
            width = draw.randint(1, draw.choice((1, widest_strips(config, 1))) * config.cols)
            height = draw.randint(1, 40)
            picture = Picture(config, height, width)
            groups, more = draw.randint(1, 3), draw.randint(0, 2)
            in_set = picture.set_images
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
                ),
                address,
                bits,
            )
            some = min(in_set, images - image_group * in_set)
            want = load_errors(picture, rows, groups, some, bits, chunk)
            assert ctx.get(block.pixels)
            assert not ctx.get(block.bad)
            assert {key: ctx.get(block.errors[key]) for key in want} == want
            tile = chunk * rows // picture.tile_rows * picture.strips
            first = image_group * in_set * layout.image_stride + tile * layout.tile_stride
            walk = rows_walk(layout, some, bits, (address + first) % (1 << 32))
            walk |= {"groups": groups, "tiles": want["down"]}
            assert {key: ctx.get(block.walk[key]) for key in walk} == walk

    simulate(block, bench)
