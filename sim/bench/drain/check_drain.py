"""Bench of `cpt.hw.drain.drain`: complete result tiles land in memory byte for byte, nothing else changes."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.layouts import drain_command
from cpt.sim.bench.core import Bench, Source, option, random_stall, rounds
from cpt.sim.bench.drains import DrainCommand
from cpt.sim.bench.memory import WriteMemory, random_bytes
from cpt.sim.bench.result_tiles import ResultTiles

MEMORY_BYTES = 1 << 16


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def tiles_land_byte_for_byte(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    buffer = ResultTiles(bench, config)
    commands = Source(bench, "commands", drain_command())
    memory = WriteMemory(bench, random_bytes(MEMORY_BYTES))
    await bench.start()
    want = memory.data.copy()
    for _ in range(rounds()):
        commands.stall, buffer.slow = random_stall(), random_stall()
        memory.stall(random_stall(), random_stall(), random_stall())
        drains = [DrainCommand.random(config, MEMORY_BYTES) for _ in range(2)]
        places = [place for item in drains for place in item.places()]
        commands.put(*(item.payload() for item in drains))
        buffer.wanted = len(places)
        await bench.settle()
        for place, tile in zip(places, buffer.filled, strict=True):
            content = place.content(config, tile)
            want[place.address : place.address + len(content)] = np.frombuffer(content, np.uint8)
        bench.board.equal("memory", memory.data, want)
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
        buffer.filled.clear()
    bench.finish()
