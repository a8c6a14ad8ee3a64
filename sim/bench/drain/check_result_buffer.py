"""Bench of `cpt.hw.drain.result_buffer`: both read ports return whole rows, the drain port holds its data."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.sim.bench.core import Bench, option, rounds
from cpt.sim.bench.rows import random_row


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def both_ports_return_the_last_write(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    await bench.start()
    depth = ResultBuffer(config).depth_rows
    memory = [random_row(config) for _ in range(depth)]
    bench.set("write_en", 1)
    for address, row in enumerate(memory):
        bench.set("write_addr", address)
        bench.set("write_row", row)
        await bench.step()
    old_rows: list[int | None] = [None] * ResultBuffer.old_latency_cycles
    want_drain = None
    for _ in range(100 * rounds()):
        write, old, drain = random.sample(range(depth), 3)
        enable, hold = random.random() < 0.5, random.random() < 0.3
        row = random_row(config)
        for name, value in (
            ("write_en", enable),
            ("write_addr", write),
            ("write_row", row),
            ("old_addr", old),
            ("drain_addr", drain),
            ("drain_en", not hold),
        ):
            bench.set(name, int(value))
        await bench.step()
        want_old = old_rows.pop(0)
        if want_old is not None:
            bench.board.equal("old_row", hex(bench.get("old_row")), hex(want_old))
        if want_drain is not None:
            bench.board.equal("drain_row", hex(bench.get("drain_row")), hex(want_drain))
        old_rows.append(memory[old])
        if not hold:
            want_drain = memory[drain]
        if enable:
            memory[write] = row
    bench.finish()
