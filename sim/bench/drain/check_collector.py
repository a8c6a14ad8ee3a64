"""Bench of `cpt.hw.drain.collector`: captured tiles overwrite or add to the result tiles, row by row."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.drain.collector import Collector
from cpt.hw.layouts import COLLECT, result_rows
from cpt.sim.bench.core import Bench, Every, option, pack, rounds
from cpt.sim.bench.rows import add_rows, random_row


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def tiles_are_overwritten_or_added_to(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    rows = result_rows(config)
    memory = [random_row(config) for _ in range(2 * rows)]
    tile_rows = [0] * rows
    old = 0
    done: list[int] = []

    def drive() -> None:
        # The array answers with a row at once, the buffer a cycle after the address.
        dut.row.value = tile_rows[min(bench.get("row_index"), rows - 1)]
        dut.old_row.value = old

    def sample() -> None:
        nonlocal old
        address = bench.get("old_addr")
        old = memory[address] if address < len(memory) else 0  # beyond the end while idle
        if bench.get("write_en"):
            memory[bench.get("write_addr")] = bench.get("write_row")
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
        tile_rows[:] = [random_row(config) for _ in range(rows)]
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
            for new, was in zip(tile_rows, before, strict=True)
        ]
        bench.board.equal(
            "rows", [hex(row) for row in memory[start : start + rows]], [hex(row) for row in want]
        )
        bench.board.equal("the other tile", memory[rows - start : 2 * rows - start] == other, True)
        await bench.step(random.randint(0, 5))
    bench.finish()
