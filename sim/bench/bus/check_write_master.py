"""Bench of `cpt.hw.bus.write_master`: beats land where their runs say, and every response is waited for."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Every, Source, pack, random_stall, rounds, split_runs
from cpt.sim.bench.memory import WriteMemory, random_bytes

MEMORY_BYTES = 1 << 14


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def beats_land_where_their_runs_say(dut: Any) -> None:
    bench = Bench(dut)
    runs, beats = Source(bench, "runs", RUN), Source(bench, "beats", 64)
    memory = WriteMemory(bench, random_bytes(MEMORY_BYTES))
    await bench.start()
    want = memory.data.copy()
    for _ in range(rounds()):
        runs.stall, beats.stall = random_stall(), random_stall()
        memory.stall(random_stall(), random_stall(), random_stall())
        places = []
        for _ in range(6):
            count = random.randint(1, 60)
            address = 8 * random.randint(0, MEMORY_BYTES // 8 - count)
            values = [random.getrandbits(64) for _ in range(count)]
            places.append((address, count))
            runs.put(pack(RUN, {"addr": address, "beats": count}))
            beats.put(*values)
            want[address : address + 8 * count] = np.array(values, "<u8").view(np.uint8)
        await bench.settle()
        bench.board.equal("memory", memory.data, want)
        bench.board.equal("bursts", memory.bursts, split_runs(places))
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
        memory.bursts.clear()
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def an_error_response_is_reported_once_per_burst(dut: Any) -> None:
    bench = Bench(dut)
    runs, beats = Source(bench, "runs", RUN), Source(bench, "beats", 64)
    memory = WriteMemory(bench, random_bytes(MEMORY_BYTES))
    seen: list[int] = []
    Every(bench, sample=lambda: seen.append(1) if bench.get("error") else None)
    await bench.start()
    memory.response = 2
    runs.put(pack(RUN, {"addr": 0, "beats": 40}))
    beats.put(*range(40))
    await bench.settle()
    bench.board.equal("errors", len(seen), 3)
    bench.finish()
