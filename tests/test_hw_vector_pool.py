"""cpt.hw.vector.pool: a number for each channel of an image, those of a wide layer too."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP, ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.vector.pool import Pool

CONFIGS = [preset("tiny", STEP), preset("zc706", STEP)]
LOCAL = 101


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_sums_go_to_local_memory_and_numbers_come_from_there(config: ArrayConfig) -> None:
    rng, block, count = random.Random(6), Pool(config), config.channels
    words = {LOCAL + n: rng.randint(-(1 << 15) + 1, (1 << 15) - 1) for n in range(count)}
    written: dict[int, int] = {}

    async def memory(ctx: Any) -> None:
        read, write = block.local_read, block.local_write
        under_way: list[int | None] = [None] * (MACHINE.local_cycles - 1)
        while True:
            read_ready, write_ready = int(rng.random() < 0.8), int(rng.random() < 0.8)
            ctx.set(read.ready, read_ready)
            ctx.set(write.ready, write_ready)
            _, _, asks, at, stores, to, enable, *values = await ctx.tick().sample(
                read.valid, read.addr, write.valid, write.addr, write.en, *write.data
            )
            under_way.append(at if asks and read_ready else None)
            if (found := under_way.pop(0)) is not None:
                for n in range(2):
                    ctx.set(read.data[n], words.get(2 * found + n, 0) & 0xFFFF_FFFF)
            if stores and write_ready:
                for n, value in enumerate(values):
                    if enable >> n & 1:
                        written[2 * to + n] = value - (value >> 31 << 32)

    async def done(ctx: Any) -> None:
        await ctx.tick()
        while ctx.get(block.busy):
            await ctx.tick()

    async def bench(ctx: Any) -> None:
        # Two words of every channel, in order: the first starts its sum.
        added = [[rng.randint(-(1 << 20), 1 << 20) for _ in range(count)] for _ in range(2)]
        for turn, values in enumerate(added):
            for cycle in range(count + block.numbers_cycles):
                ctx.set(block.count, cycle < count)
                ctx.set(block.channel, min(cycle, count - 1))
                if cycle >= block.numbers_cycles:
                    ctx.set(block.total, values[cycle - block.numbers_cycles])
                    ctx.set(block.clear, turn == 0)
                await ctx.tick()
            ctx.set(block.count, 0)
            await ctx.tick().repeat(4)
        ctx.set(block.place.local, LOCAL)
        ctx.set(block.place.channels, count)
        await ctx.tick()
        for pulse in (block.flush, block.fill):
            ctx.set(pulse, 1)
            await ctx.tick()
            ctx.set(pulse, 0)
            await done(ctx)
        assert written == {LOCAL + n: sum(pair) for n, pair in enumerate(zip(*added, strict=True))}

        asked = [rng.randrange(count) for _ in range(40)] + [0, min(1023, count - 1), count - 1]
        for cycle in range(len(asked) + block.latency_cycles):
            ctx.set(block.asked, asked[min(cycle, len(asked) - 1)])
            real = cycle - block.real_cycles
            ctx.set(block.real, int(real % 5 != 0))
            if cycle >= block.latency_cycles:
                number = cycle - block.latency_cycles
                wanted = words[LOCAL + asked[number]] if number % 5 else 0
                assert ctx.get(block.pooled) == wanted, number
            await ctx.tick()

    simulate(block, bench, background=[memory])
