"""cpt.hw.bus.read_arbiter: two masters, one port, data back to whom asked."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put

from cpt.hw.bus.read_arbiter import ReadArbiter


def tagged(address: int) -> int:
    return address * 3 + 1


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_each_master_gets_its_own_data_in_order(stall: float) -> None:
    rng = random.Random(9)
    block = ReadArbiter(16)
    asked = [
        [{"addr": 128 * rng.randrange(1 << 10), "len": rng.randrange(16)} for _ in range(30)]
        for _ in range(2)
    ]
    wanted = [
        [tagged(item["addr"] + 8 * n) for item in items for n in range(item["len"] + 1)] for items in asked
    ]
    got: list[list[int]] = [[], []]
    memory = ReadMemory(block.ar, block.r, tagged, rng, stall)

    async def ask_first(ctx: Any) -> None:
        await stream_put(ctx, block.ar0, asked[0], rng, 0.8)

    async def ask_second(ctx: Any) -> None:
        await stream_put(ctx, block.ar1, asked[1], rng, stall)

    async def receive(ctx: Any) -> None:
        while [len(values) for values in got] != [len(values) for values in wanted]:
            for port in (block.r0, block.r1):
                ctx.set(port.ready, int(rng.random() >= stall))
            _, _, *samples = await ctx.tick().sample(
                block.r0.valid,
                block.r0.ready,
                block.r0.payload,
                block.r1.valid,
                block.r1.ready,
                block.r1.payload,
            )
            for master in range(2):
                valid, ready, payload = samples[3 * master : 3 * master + 3]
                if valid and ready:
                    got[master].append(payload.data)

    finished = lambda: [len(values) for values in got] == [len(values) for values in wanted]  # noqa: E731
    simulate(block, ask_first, ask_second, receive, *memory.benches(finished), watch=[block.ar])
    assert got == wanted


def test_the_first_master_goes_first() -> None:
    block = ReadArbiter(16)

    async def bench(ctx: Any) -> None:
        for port, address in ((block.ar0, 128), (block.ar1, 256)):
            ctx.set(port.payload, {"addr": address, "len": 0})
            ctx.set(port.valid, 1)
        assert ctx.get(block.ar0.ready)
        assert not ctx.get(block.ar1.ready)
        await ctx.tick()
        assert ctx.get(block.ar.payload).addr == 128

    simulate(block, bench)
