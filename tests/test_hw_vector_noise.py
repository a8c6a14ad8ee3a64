"""cpt.hw.vector.noise, hash: the golden noise of every word, as the lanes walk."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hw_streams import simulate

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.passes import geometry
from cpt.hw.contract.tiles import Picture
from cpt.hw.vector import hash as hashing
from cpt.hw.vector.hash import Hash
from cpt.hw.vector.noise import HALF, Noise, Walk
from cpt.hw.vector.noise_steps import PIXELS
from cpt.model import noise as golden
from cpt.model.golden.fabric.hash import PIXELS as NEIGHBOURS
from cpt.model.golden.fabric.hash import noise_bytes
from cpt.sim.fast.codes import in_tiles


def test_the_hash_is_that_of_the_model() -> None:
    for name in ("GOLDEN", "MULTIPLIERS", "SHIFTS"):
        assert getattr(hashing, name) == getattr(golden, name)
    rng, block = random.Random(1), Hash()
    values = [0, 1, golden.MASK, 1 << 31, 0xFFFFFF, 0xFF000000] + [rng.getrandbits(32) for _ in range(300)]
    values += [1 << n for n in range(32)]

    async def bench(ctx: Any) -> None:
        for cycle in range(len(values) + block.latency_cycles):
            ctx.set(block.value, values[min(cycle, len(values) - 1)])
            if cycle >= block.latency_cycles:
                value = values[cycle - block.latency_cycles]
                assert ctx.get(block.hash) == golden.mix(value), hex(value)
            await ctx.tick()

    simulate(block, bench)


def walks(picture: Picture, images: int, channels: int) -> list[Walk]:
    """From each word to the next, in the lanes' order."""
    order = []
    for image in range(images):
        for tile in range(picture.tiles):
            order += [Walk.CHANNEL] * (channels - 1)
            if tile + 1 < picture.tiles:
                order.append(Walk.DOWN if (tile + 1) % picture.strips == 0 else Walk.RIGHT)
            else:
                order.append(Walk.IMAGE)
        assert image < images
    return order


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        (
            preset("tiny"),
            [(8, 8, 3, 4, 2), (5, 7, 2, 4, 3), (3, 20, 4, 8, 2), (1, 1, 1, 4, 1), (4, 17, 8, 8, 1)],
        ),
        (preset("middle"), [(8, 8, 16, 16, 1), (7, 13, 5, 8, 2), (3, 40, 8, 8, 1)]),
        (preset("zc706"), [(5, 8, 3, 4, 1), (3, 16, 2, 4, 2), (2, 70, 1, 3, 1)]),
    ],
)
def test_every_word_has_the_noise_of_its_pixels(
    config: ArrayConfig, tensors: list[tuple[int, int, int, int, int]]
) -> None:
    rng, block = random.Random(2), Noise(config)

    async def bench(ctx: Any) -> None:
        for height, width, channels, held, images in tensors:
            picture, layer = Picture(config, height, width), rng.randrange(1 << 12)
            keys = [rng.getrandbits(32), rng.choice((0, golden.MASK, rng.getrandbits(32)))]
            key = golden.extended(golden.extended(keys[0], "layer", layer), "micro-batch", keys[1])
            drawn = noise_bytes(key, (images, height, width, channels)).astype(np.int64).transpose(0, 3, 1, 2)
            there = in_tiles(picture, np.ones_like(drawn, np.int64)).transpose(0, 2, 1, 3)
            wanted = in_tiles(picture, drawn).transpose(0, 2, 1, 3)
            order = walks(picture, images, held)
            for name, value in {
                **geometry(picture),
                "tiles": picture.tiles,
                "channels": channels,
                "layer": layer,
            }.items():
                ctx.set(getattr(block.shape, name), value)
            ctx.set(block.keys, keys)
            ctx.set(block.start, 1)
            await ctx.tick()
            ctx.set(block.start, 0)
            cycles = 1
            while not ctx.get(block.ready):
                await ctx.tick()
                cycles += 1
                assert cycles <= block.start_cycles
            asked: list[tuple[int, int, int, bool]] = []
            places = [(n, t, c) for n in range(images) for t in range(picture.tiles) for c in range(held)]
            due: dict[int, tuple[int, int, int, bool]] = {}
            cycle = 0
            while places or due:
                if cycle in due:
                    image, tile, channel, stochastic = due.pop(cycle)
                    found = np.array(ctx.get(block.noise))
                    if not stochastic:
                        assert (found == HALF).all()
                    elif channel < channels:
                        here = there[image, tile, channel] > 0
                        same = found[here] == wanted[image, tile, channel][here]
                        assert same.all(), (height, width, image, tile, channel)
                    asked.append((image, tile, channel, stochastic))
                step = bool(places) and rng.random() < 0.8
                ctx.set(block.step, step)
                if step:
                    stochastic = rng.random() < 0.9
                    ctx.set(block.stochastic, stochastic)
                    ctx.set(block.walk, order[len(order) - len(places)])
                    due[cycle + block.latency_cycles] = (*places.pop(0), stochastic)
                await ctx.tick()
                cycle += 1
            assert len(asked) == images * picture.tiles * held

    assert NEIGHBOURS == PIXELS
    simulate(block, bench)
