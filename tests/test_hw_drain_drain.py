"""cpt.hw.drain.drain: result tiles leave as the instruction reference says."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth import Elaboratable, Module
from hw_streams import SMALL, simulate, stream_put

from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.contract.machine import MACHINE
from cpt.hw.drain.drain import Drain
from cpt.hw.drain.result_buffer import ResultBuffer


class DrainAndBuffer(Elaboratable):
    """The drain with its result buffer, whose write port the test drives."""

    def __init__(self) -> None:
        self.drain, self.buffer = Drain(SMALL), ResultBuffer(SMALL)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.drain, m.submodules.buffer = self.drain, self.buffer
        m.d.comb += [
            self.buffer.drain_addr.eq(self.drain.drain_addr),
            self.drain.drain_row.eq(self.buffer.drain_row),
        ]
        return m


def golden_tile(rows: list[list[int]], width: int, col_sums: bool) -> bytes:
    """Bytes of a tile: rows, column sums; each ``width`` byte planes of a byte per column."""
    sent = rows[: SMALL.rows] + [rows[SMALL.rows]] * col_sums
    return b"".join(bytes(value >> 8 * p & 0xFF for value in row) for row in sent for p in range(width))


def command(rng: random.Random, base: int) -> dict[str, int]:
    return {
        "bytes": rng.randint(1, 6),
        "col_sums": rng.randint(0, 1),
        "tiles": rng.randint(1, 3),
        "blocks": rng.randint(1, 3),
        "base": base,
        "tile_stride": 512,
        "block_stride": 2048,
    }


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_tiles_are_written_where_and_how_the_instruction_says(stall: float) -> None:
    rng = random.Random(11)
    commands = [command(rng, 0x1_0000 * n + 8 * rng.randrange(20)) for n in range(8)]
    want: dict[int, int] = {}
    tiles: list[list[list[int]]] = []
    for item in commands:
        for block in range(item["blocks"]):
            for tile in range(item["tiles"]):
                rows = [[rng.getrandbits(48) for _ in range(SMALL.cols)] for _ in range(SMALL.rows + 1)]
                tiles.append(rows)
                start = item["base"] + block * item["block_stride"] + tile * item["tile_stride"]
                payload = golden_tile(rows, item["bytes"], bool(item["col_sums"] and tile == 0))
                want.update({start + n: value for n, value in enumerate(payload)})

    top = DrainAndBuffer()
    drain, buffer = top.drain, top.buffer
    memory: dict[int, int] = {}
    free = [2]
    bursts: list[tuple[int, int]] = []
    completed: list[int] = []

    async def instruct(ctx: Any) -> None:
        await stream_put(ctx, drain.commands, commands, rng, stall)

    async def collect(ctx: Any) -> None:
        for number, rows in enumerate(tiles):
            while not free[0]:
                await ctx.tick()
            free[0] -= 1
            ahead = MACHINE.result_address_cycles
            for index in range(-ahead, len(rows)):
                ctx.set(buffer.write_en, int(index + ahead < len(rows)))
                ctx.set(buffer.write_addr, number % 2 * (SMALL.rows + 1) + index + ahead)
                ctx.set(buffer.write_row, rows[max(index, 0)])
                ctx.set(drain.complete, int(index == SMALL.rows))
                await ctx.tick()
            ctx.set(drain.complete, 0)

    async def count_free(ctx: Any) -> None:
        for _ in tiles:
            await ctx.tick().until(drain.tile_free)
            free[0] += 1

    async def take_addresses(ctx: Any) -> None:
        beats = 0
        while beats < len(want) // 8:
            ctx.set(drain.aw.ready, int(rng.random() >= stall))
            _, _, valid, ready, address = await ctx.tick().sample(
                drain.aw.valid, drain.aw.ready, drain.aw.payload
            )
            if valid and ready:
                bursts.append((address.addr, address.len + 1))
                beats += address.len + 1
                assert address.addr % 128 + 8 * (address.len + 1) <= 128
        ctx.set(drain.aw.ready, 0)

    async def take_data(ctx: Any) -> None:
        """Beats may come before the address of their burst was accepted, never after a wrong `last`."""
        beats: list[int] = []
        for received in range(len(want) // 8):
            valid = ready = 0
            while not (valid and ready):
                ctx.set(drain.w.ready, int(rng.random() >= stall))
                _, _, valid, ready, beat = await ctx.tick().sample(
                    drain.w.valid, drain.w.ready, drain.w.payload
                )
            beats.append(beat.data)
            while beat.last and not len(bursts) > len(completed):
                ctx.set(drain.w.ready, 0)
                await ctx.tick()
            if beat.last:
                address, length = bursts[len(completed)]
                assert len(beats) == length, f"burst at {address:#x}, beat {received}"
                data = b"".join(value.to_bytes(8, "little") for value in beats)
                memory.update({address + n: value for n, value in enumerate(data)})
                completed.append(len(completed))
                beats.clear()
        ctx.set(drain.w.ready, 0)

    async def answer(ctx: Any) -> None:
        answered = 0
        while answered < len(completed) or len(memory) < len(want):
            ctx.set(drain.b.valid, int(answered < len(completed)))
            await ctx.tick()
            answered += ctx.get(drain.b.valid)
            ctx.set(drain.b.valid, 0)
            while rng.random() < stall:
                await ctx.tick()
        assert ctx.get(drain.idle)

    simulate(top, instruct, collect, count_free, take_addresses, take_data, answer, watch=[drain.aw, drain.w])
    assert memory == want
    assert len(want) > 0


def test_data_does_not_wait_for_the_address_to_be_accepted() -> None:
    block = WriteMaster()

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.runs, [{"addr": 64, "beats": 2}], random.Random(1), 0)
        ctx.set(block.beats.payload, 5)
        ctx.set(block.beats.valid, 1)
        await ctx.tick().until(block.w.valid)
        assert ctx.get(block.aw.valid)
        assert ctx.get(block.w.payload).data == 5

    simulate(block, bench)
