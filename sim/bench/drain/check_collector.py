"""Bench of `cpt.hw.drain.collector`: captured tiles overwrite or add to the result tiles, row by row."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.layouts import COLLECT, result_rows
from cpt.hw.matrix.row_select import RowSelect
from cpt.sim.bench.core import Bench, Every, option, pack, rounds
from cpt.sim.bench.rows import add_rows, random_captured, random_row, widened


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def tiles_are_overwritten_or_added_to(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    rows = result_rows(config)
    memory = [random_row(config) for _ in range(2 * rows)]
    tile_rows = [0] * rows
    asked = deque([0] * RowSelect.latency_cycles, RowSelect.latency_cycles)
    old = deque([0] * ResultBuffer.old_latency_cycles, ResultBuffer.old_latency_cycles)
    ahead = deque([(0, 0)] * ResultBuffer.address_cycles)
    done: list[int] = []

    def drive() -> None:
        dut.row.value = asked[0]
        dut.old_row.value = old[0]

    def sample() -> None:
        # A row comes some cycles after its index, the buffer's old row after its address.
        asked.append(tile_rows[min(bench.get("row_index"), rows - 1)])
        address = bench.get("old_addr")
        old.append(memory[address] if address < len(memory) else 0)  # beyond the end while idle
        ahead.append((bench.get("write_en"), bench.get("write_addr")))
        write, place = ahead.popleft()
        if write:
            memory[place] = bench.get("write_row")
        if bench.get("done"):
            done.append(bench.get("complete"))

    Every(bench, drive, sample)
    await bench.start()
    latency = Collector(config).latency_cycles
    for _ in range(5 * rounds()):
        collect = {
            "tile": random.getrandbits(1),
            "first": random.getrandbits(1),
            "last": random.getrandbits(1),
        }
        tile_rows[:] = [random_captured(config) for _ in range(rows)]
        start = rows * collect["tile"]
        before = memory[start : start + rows]
        other = memory[rows - start : 2 * rows - start]
        bench.set("captured", 1)
        bench.set("collect", pack(COLLECT, collect))
        await bench.step()
        bench.set("captured", 0)
        await bench.step(latency)
        bench.board.equal("done and complete", done, [collect["last"]])
        done.clear()
        want = [
            new if collect["first"] else add_rows(new, was, config)
            for new, was in zip((widened(row, config) for row in tile_rows), before, strict=True)
        ]
        bench.board.equal(
            "rows", [hex(row) for row in memory[start : start + rows]], [hex(row) for row in want]
        )
        bench.board.equal("the other tile", memory[rows - start : 2 * rows - start] == other, True)
        await bench.step(random.randint(0, 5))
    bench.finish()
