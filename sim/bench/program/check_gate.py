"""Bench of `cpt.hw.program.gate`: open exactly when both marks are there, for every unit."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract.step import MARK_BITS, Engine
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import WAIT
from cpt.sim.bench.core import Bench, pack, rounds

UNITS = 40


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def a_unit_opens_with_its_marks(dut: Any) -> None:
    bench = Bench(dut)
    bench.set("load", 0)
    bench.set("advance", 0)
    await bench.start()
    for _ in range(4 * rounds()):
        start = random.getrandbits(MARK_BITS)
        waits = [
            {
                "engine": random.randint(0, max(Engine)),
                "step": random.choice((0, 1, 5)),
                "first": start + random.randrange(8),
            }
            for _ in range(2)
        ]
        for wait in waits:
            wait["first"] %= 1 << MARK_BITS
        marks = [start] * (max(Engine) + 1)
        bench.set("waits", sum(pack(WAIT, wait) << WAIT.size * n for n, wait in enumerate(waits)))
        for unit in range(UNITS):
            bench.set("advance" if unit else "load", 1)
            for engine in Engine:
                marks[engine] += random.choice((0, 1, 2, 7))
            there_now = [mark % (1 << MARK_BITS) for mark in marks[1:]]
            bench.set("marks", sum(mark << MARK_BITS * (n + 1) for n, mark in enumerate(there_now)))
            await bench.step()
            bench.set("load", 0)
            bench.set("advance", 0)
            await bench.step(Gate.latency_cycles)
            needed = [(wait["first"] - start) % (1 << MARK_BITS) + unit * wait["step"] for wait in waits]
            there = [
                not wait["engine"] or marks[wait["engine"]] - start >= need
                for wait, need in zip(waits, needed, strict=True)
            ]
            bench.board.equal(f"unit {unit}", bench.get("open"), int(all(there)))
    bench.finish()
