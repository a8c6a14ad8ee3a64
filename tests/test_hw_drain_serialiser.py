"""cpt.hw.drain.serialiser: rows of result tiles as beats, one a cycle, made ahead and never lost."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from hw_streams import SMALL, simulate, stream_get, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.layout import result_rows
from cpt.hw.contract.machine import MACHINE
from cpt.hw.drain.serialiser import Serialiser

ARRAYS = pytest.mark.parametrize("config", [SMALL, preset("middle")], ids=lambda config: config.name)


@dataclass
class Tile:
    """A result tile, its elements' bytes, and whether its sums are sent."""

    rows: list[list[int]]
    width: int
    col_sums: bool

    @classmethod
    def random(cls, config: ArrayConfig, rng: random.Random) -> Tile:
        rows = [[rng.getrandbits(48) for _ in range(config.cols)] for _ in range(result_rows(config))]
        return cls(rows, rng.randint(1, 6), bool(rng.getrandbits(1)))

    def beats(self, config: ArrayConfig) -> list[int]:
        """Row, byte plane, eight columns at a time."""
        sent = self.rows[: config.rows + self.col_sums]
        planes = [bytes(value >> 8 * p & 0xFF for value in row) for row in sent for p in range(self.width)]
        data = b"".join(planes)
        return [int.from_bytes(data[n : n + BEAT_BYTES], "little") for n in range(0, len(data), BEAT_BYTES)]


class Rows:
    """A result buffer that holds ``tiles``, two at a time: the next one comes when one is given back."""

    def __init__(self, config: ArrayConfig, block: Serialiser, tiles: list[Tile]) -> None:
        self.block, self.rows, self.given_back = block, result_rows(config), [-1]
        self._next = deque(tiles)
        self._memory: list[list[int]] = []
        for _ in range(MACHINE.result_tiles):
            self._memory += self._next.popleft().rows if self._next else [[0] * config.cols] * self.rows

    async def answer(self, ctx: Any) -> None:
        """Rows some cycles behind their addresses."""
        asked, cycle = deque([0] * (MACHINE.result_buffer_cycles - 1)), 0
        while True:
            _, _, address, free = await ctx.tick().sample(self.block.drain_addr, self.block.tile_free)
            if free:
                start = self.rows * ((len(self.given_back) - 1) % MACHINE.result_tiles)
                self.given_back.append(cycle)
                if self._next:
                    self._memory[start : start + self.rows] = self._next.popleft().rows
            asked.append(address)
            ctx.set(self.block.drain_row, self._memory[min(asked.popleft(), len(self._memory) - 1)])
            cycle += 1


def sent(config: ArrayConfig, tiles: list[Tile], stall: float) -> tuple[list[int], Rows]:
    block, rng = Serialiser(config), random.Random(5)
    rows, received = Rows(config, block, tiles), []
    count = sum(len(tile.beats(config)) for tile in tiles)

    async def announce(ctx: Any) -> None:
        for number, tile in enumerate(tiles):
            while number >= len(rows.given_back) - 1 + MACHINE.result_tiles:
                await ctx.tick()
            await stream_put(ctx, block.tiles, [{"bytes": tile.width, "col_sums": tile.col_sums}], rng, stall)

    async def take(ctx: Any) -> None:
        received.extend(await stream_get(ctx, block.beats, count, rng, stall))
        for _ in range(2 * MACHINE.serialiser_beats):
            await ctx.tick()
            assert not ctx.get(block.beats.valid)

    simulate(block, announce, take, watch=[block.beats], background=[rows.answer])
    return received, rows


@ARRAYS
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_beats_are_byte_planes_of_the_rows_in_order(config: ArrayConfig, stall: float) -> None:
    rng = random.Random(3)
    tiles = [Tile.random(config, rng) for _ in range(7)]
    received, rows = sent(config, tiles, stall)
    assert received == [beat for tile in tiles for beat in tile.beats(config)]
    assert len(rows.given_back) - 1 == len(tiles)


@ARRAYS
def test_tiles_follow_without_a_gap_and_are_given_back_behind_their_last_beat(config: ArrayConfig) -> None:
    rng = random.Random(4)
    tiles = [Tile.random(config, rng) for _ in range(MACHINE.result_tiles)]
    block = Serialiser(config)
    rows = Rows(config, block, tiles)
    ends: list[int] = []
    for tile in tiles:
        ends.append((ends[-1] if ends else MACHINE.serialiser_cycles - 1) + len(tile.beats(config)))

    async def bench(ctx: Any) -> None:
        ctx.set(block.beats.ready, 1)
        ctx.set(block.tiles.valid, 1)
        entered = 0
        for cycle in range(ends[-1] + 4):
            if entered < len(tiles):
                tile = tiles[entered]
                ctx.set(block.tiles.payload, {"bytes": tile.width, "col_sums": tile.col_sums})
            ctx.set(block.tiles.valid, int(entered < len(tiles)))
            _, _, ready, valid = await ctx.tick().sample(block.tiles.ready, block.beats.valid)
            entered += ready
            assert valid == (MACHINE.serialiser_cycles <= cycle <= ends[-1]), cycle

    simulate(block, bench, background=[rows.answer])
    assert rows.given_back[1:] == [end + 1 for end in ends]


def test_as_many_beats_are_made_ahead_as_there_are_places() -> None:
    tiles = [Tile([[0] * SMALL.cols] * result_rows(SMALL), 6, True)] * MACHINE.result_tiles
    block = Serialiser(SMALL)
    rows = Rows(SMALL, block, tiles)

    async def bench(ctx: Any) -> None:
        ctx.set(block.tiles.payload, {"bytes": 6, "col_sums": 1})
        ctx.set(block.tiles.valid, 1)
        for _ in range(3 * MACHINE.serialiser_beats):
            await ctx.tick()
        assert len(tiles[0].beats(SMALL)) > MACHINE.serialiser_beats
        assert not ctx.get(block.tiles.ready), "the tile is not read to its end"
        ctx.set(block.tiles.valid, 0)
        ctx.set(block.beats.ready, 1)
        for _ in tiles[0].beats(SMALL):
            assert ctx.get(block.beats.valid)
            await ctx.tick()
        assert not ctx.get(block.beats.valid)

    simulate(block, bench, background=[rows.answer])
