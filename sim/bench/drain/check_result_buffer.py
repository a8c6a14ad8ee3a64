"""Bench of `cpt.hw.drain.result_buffer`: both read ports return whole rows, a row a cycle."""

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
    # What was written with the addresses before, whose rows arrive some cycles later.
    written = [0] * depth
    rows = deque([0] * ResultBuffer.address_cycles)
    old_rows: deque[int | None] = deque([None] * ResultBuffer.old_latency_cycles)
    drain_rows: deque[int | None] = deque([None] * ResultBuffer.latency_cycles)
    for cycle in range(depth + 100 * rounds()):
        write, old, drain = random.sample(range(depth), 3)
        enable, row = random.random() < 0.5, random_row(config)
        if cycle < depth:
            enable, write = True, cycle
        rows.append(row)
        for name, value in (
            ("write_en", int(enable)),
            ("write_addr", write),
            ("write_row", rows.popleft()),
            ("old_addr", old),
            ("drain_addr", drain),
        ):
            bench.set(name, value)
        await bench.step()
        for name, wanted in (("old_row", old_rows.popleft()), ("drain_row", drain_rows.popleft())):
            if wanted is not None:
                bench.board.equal(name, hex(bench.get(name)), hex(wanted))
        full = cycle >= depth
        old_rows.append(written[old] if full else None)
        drain_rows.append(written[drain] if full else None)
        if enable:
            written[write] = row
    bench.finish()
