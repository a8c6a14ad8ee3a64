"""Bench of `cpt.hw.control.counters`: every counter adds up exactly, across 32 bits, and clears."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import Counter
from cpt.hw.control.counters import Counters
from cpt.sim.bench.core import Bench, rounds


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def counters_add_up_and_clear(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    await bench.step(Counters.clear_cycles)  # as after power-up
    totals = dict.fromkeys(Counter, 0)
    for _ in range(rounds()):
        for _ in range(200):
            for counter in Counter:
                amount = random.choice((0, 1, 8, 16))
                bench.set(f"increment__{counter}", amount)
                totals[counter] += amount
            await bench.step()
        for counter in Counter:
            bench.set(f"increment__{counter}", 0)
        await bench.step(3)
        for counter in Counter:
            bench.board.equal(counter.name, bench.get(f"value__{counter}"), totals[counter])
        if random.random() < 0.5:
            bench.set("clear", 1)
            await bench.step()
            bench.set("clear", 0)
            await bench.step(Counters.clear_cycles)
            totals = dict.fromkeys(Counter, 0)
            bench.board.equal(
                "cleared", [bench.get(f"value__{counter}") for counter in Counter], [0] * len(Counter)
            )
    bench.finish()
