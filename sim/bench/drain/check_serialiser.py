"""Bench of `cpt.hw.drain.serialiser`: rows of result tiles as byte planes of eight columns a beat."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.layouts import RESULT_TILE
from cpt.sim.bench.core import Bench, Sink, Source, option, pack, random_stall, rounds
from cpt.sim.bench.drains import TilePlace
from cpt.sim.bench.result_tiles import ResultTiles


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def beats_are_byte_planes_of_the_rows(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    buffer = ResultTiles(bench, config)
    tiles, beats = Source(bench, "tiles", RESULT_TILE), Sink(bench, "beats")
    await bench.start()
    for _ in range(2 * rounds()):
        tiles.stall, beats.stall, buffer.slow = random_stall(), random_stall(), random_stall()
        freed = buffer.freed
        places = [TilePlace(0, random.randint(1, 6), random.random() < 0.5) for _ in range(5)]
        count = sum(place.beats(config) for place in places)
        todo = list(places)
        buffer.wanted = len(places)
        given = 0
        while len(beats.received) < count:
            if given < len(buffer.filled):  # a tile is announced once it is in the buffer
                place = todo.pop(0)
                given += 1
                fields = {"bytes": place.element_bytes, "col_sums": place.col_sums}
                tiles.put(pack(RESULT_TILE, fields))
            await bench.step()
        want = b"".join(
            place.content(config, tile) for place, tile in zip(places, buffer.filled, strict=True)
        )
        bench.board.equal("beats", beats.take(), np.frombuffer(want, "<u8"))
        buffer.filled.clear()
        await bench.settle()
        bench.board.equal("tiles given back", buffer.freed - freed, len(places))
    bench.finish()
