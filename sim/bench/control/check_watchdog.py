"""Bench of `cpt.hw.control.watchdog`: expires after its limit of cycles without progress, and only then."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.sim.bench.core import Bench, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def it_expires_after_its_limit_without_progress(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    idle = 0
    for _ in range(rounds()):
        limit = random.choice((0, 1, 3, 20))
        bench.set("limit", limit)
        for _ in range(300):
            busy, progress = random.random() < 0.98, random.random() < 0.1
            bench.set("busy", int(busy))
            bench.set("progress", int(progress))
            await bench.step()
            bench.board.equal("expired", bench.get("expired"), int(limit != 0 and busy and idle >= limit))
            idle = 0 if progress or not busy else idle + 1
    bench.finish()
