"""cpt.hw.bus.read_arbiter: two masters, one port, data back to whom asked."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put

from cpt.hw.bus.read_arbiter import ReadArbiter
from cpt.hw.contract.machine import MACHINE


def tagged(address: int) -> int:
    return address * 3 + 1


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_each_master_gets_its_own_data_in_order(stall: float) -> None:
    rng = random.Random(9)
    block = ReadArbiter(2 * MACHINE.outstanding_bursts)
    asked = [
        [{"addr": 128 * rng.randrange(1 << 10), "len": rng.randrange(16)} for _ in range(30)]
        for _ in range(2)
    ]
    wanted = [
        [tagged(item["addr"] + 8 * n) for item in items for n in range(item["len"] + 1)] for items in asked
    ]
    got: list[list[int]] = [[], []]
    ended = [0, 0]
    memory = ReadMemory(block.ar, block.r, tagged, rng, stall)

    async def ask(ctx: Any, master: int, port: Any, stall: float) -> None:
        for number, item in enumerate(asked[master]):
            while number - ended[master] == MACHINE.outstanding_bursts:
                await ctx.tick()
            await stream_put(ctx, port, [item], rng, stall)

    async def ask_first(ctx: Any) -> None:
        await ask(ctx, 0, block.ar0, 0.8)

    async def ask_second(ctx: Any) -> None:
        await ask(ctx, 1, block.ar1, stall)

    async def receive(ctx: Any) -> None:
        while [len(values) for values in got] != [len(values) for values in wanted]:
            _, _, *samples = await ctx.tick().sample(
                block.r0.valid, block.r0.payload, block.r1.valid, block.r1.payload
            )
            for master in range(2):
                valid, payload = samples[2 * master : 2 * master + 2]
                if valid:
                    got[master].append(payload.data)
                    ended[master] += payload.last

    finished = lambda: [len(values) for values in got] == [len(values) for values in wanted]  # noqa: E731
    simulate(block, ask_first, ask_second, receive, *memory.benches(finished), watch=[block.ar])
    assert got == wanted


def test_the_first_master_goes_first_and_the_second_in_between() -> None:
    block = ReadArbiter(16)
    asked = [[1000 * master + 128 * n for n in range(4)] for master in range(2)]
    got: list[int] = []

    async def bench(ctx: Any) -> None:
        for port, addresses in ((block.ar0, asked[0]), (block.ar1, asked[1])):
            ctx.set(port.payload, {"addr": addresses[0] & ~7, "len": 0})
            ctx.set(port.valid, 1)
        ctx.set(block.ar.ready, 1)
        places = [0, 0]
        while len(got) < 8:
            _, _, first, second, valid, address = await ctx.tick().sample(
                block.ar0.ready, block.ar1.ready, block.ar.valid, block.ar.payload
            )
            assert not (first and second)
            for master, taken in enumerate((first, second)):
                port = (block.ar0, block.ar1)[master]
                places[master] += taken
                ctx.set(port.valid, places[master] < 4)
                if places[master] < 4:
                    ctx.set(port.payload, {"addr": asked[master][places[master]] & ~7, "len": 0})
            if valid:
                got.append(address.addr)

    simulate(block, bench)
    assert got == [address & ~7 for pair in zip(*asked, strict=True) for address in pair]


@pytest.mark.parametrize("master", [0, 1])
def test_an_address_shows_on_the_port_after_the_cycles_that_the_contract_says(master: int) -> None:
    block = ReadArbiter(16)
    port = (block.ar0, block.ar1)[master]

    async def bench(ctx: Any) -> None:
        ctx.set(port.payload, {"addr": 128, "len": 3})
        ctx.set(port.valid, 1)
        for cycle in range(MACHINE.arbiter_cycles):
            assert not ctx.get(block.ar.valid)
            assert ctx.get(port.ready) == (cycle == MACHINE.arbiter_cycles - 1)
            await ctx.tick()
        assert ctx.get(block.ar.valid)
        assert (ctx.get(block.ar.payload).addr, ctx.get(block.ar.payload).len) == (128, 3)

    simulate(block, bench)
