"""Bench of `cpt.hw.control.watchdog`: expires after its limit of cycles without progress, and only then."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.control.watchdog import Watchdog
from cpt.sim.bench.core import Bench, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def it_expires_after_its_limit_without_progress(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    latency = Watchdog.latency_cycles
    stuck: list[bool] = []
    for _ in range(rounds()):
        limit = random.choice((0, 1, 3, 20))
        bench.set("limit", limit)
        stuck.clear()
        for _ in range(300):
            busy, progress = random.random() < 0.98, random.random() < 0.1
            bench.set("busy", int(busy))
            bench.set("progress", int(progress))
            await bench.step()
            stuck.append(busy and not progress)
            if len(stuck) > limit + latency:
                # What comes in this cycle and came in the one before is not seen yet.
                expired = limit != 0 and all(stuck[-limit - latency - 1 : -2])
                bench.board.equal("expired", bench.get("expired"), int(expired))
    bench.finish()
