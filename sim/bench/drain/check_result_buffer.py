"""Bench of `cpt.hw.drain.result_buffer`: both read ports return whole rows, the drain port holds its data."""

from __future__ import annotations

import random
from collections import deque
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
    # What was written with the addresses before, and what has arrived with its row some cycles later.
    written, memory = [0] * depth, [0] * depth
    ahead = deque([(False, 0, 0)] * ResultBuffer.address_cycles)
    old_rows: list[int | None] = [None] * ResultBuffer.old_latency_cycles
    want_drain = None
    for cycle in range(depth + 100 * rounds()):
        write, old, drain = random.sample(range(depth), 3)
        enable, hold = random.random() < 0.5, random.random() < 0.3
        row = random_row(config)
        if cycle < depth:
            enable, write = True, cycle
        ahead.append((enable, write, row))
        arrives, place, arriving = ahead.popleft()
        for name, value in (
            ("write_en", enable),
            ("write_addr", write),
            ("write_row", arriving),
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
        full = cycle >= depth + ResultBuffer.address_cycles
        old_rows.append(written[old] if full else None)
        if full and not hold:
            want_drain = memory[drain]
        if enable:
            written[write] = row
        if arrives:
            memory[place] = arriving
    bench.finish()
