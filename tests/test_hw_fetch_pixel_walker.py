"""cpt.hw.fetch.pixel_walker: a run for every image, tile, group, plane and strip of a walk."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hw_streams import simulate, stream_get, stream_put

from cpt.hw.contract import preset
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.pixel_walker import PixelWalker


@pytest.mark.parametrize(("name", "stall"), [("tiny", 0.0), ("middle", 0.4), ("zc706", 0.1)])
def test_runs_begin_where_strides_say(name: str, stall: float) -> None:
    config, rng = preset(name), random.Random(name)
    plane_bytes = config.cols * config.group_channels // 8
    block = PixelWalker(config)
    walks: list[dict[str, int]] = []
    want = []
    names = ("images", "tiles", "groups", "planes", "strips")
    for counts in [
        (1,) * 5,
        (2, 3, 1, 1, 1),
        (1, 2, 4, 1, 1),
        *([rng.randint(1, 3) for _ in names] for _ in "ab"),
    ]:
        walk = {"base": 16 * rng.randrange(1 << 20)} | dict(zip(names, counts, strict=True))
        strided = [name for name in names if name != "planes"]
        walk |= {f"{name.removesuffix('s')}_stride": 16 * rng.randrange(1 << 20) for name in strided}
        walks.append(walk | {"bits": rng.randint(1, 16)})
        beats = -(-walks[-1]["bits"] * plane_bytes // STREAM_BYTES) * 2
        want += [
            (
                walk["base"]
                + image * walk["image_stride"]
                + tile * walk["tile_stride"]
                + group * walk["group_stride"]
                + plane * plane_bytes
                + strip * walk["strip_stride"],
                beats,
            )
            for image, tile, group, plane, strip in itertools.product(*map(range, counts))
        ]
    found: list[tuple[int, int]] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.walks, walks, rng, stall)

    async def get(ctx: Any) -> None:
        got = await stream_get(ctx, block.runs, len(want), rng, stall)
        found.extend((run.addr, run.beats) for run in got)
        await ctx.tick().repeat(3)
        assert ctx.get(block.idle)
        assert not ctx.get(block.runs.valid)

    simulate(block, put, get, watch=[block.runs])
    assert found == want
