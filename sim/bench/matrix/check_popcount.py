"""Bench of `cpt.hw.matrix.popcount`: the count of ones of ``a & b``, every cycle."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.matrix.popcount import Popcount
from cpt.sim.bench.core import Bench, option, rounds


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def count_equals_the_ones_of_a_and_b(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    width = preset(option("preset", "tiny")).word_bits
    latency = Popcount(width).latency_cycles
    ones = (1 << width) - 1
    expected: list[int] = []
    corners = [(0, 0), (ones, ones), (ones, 0), (1, ones), (1 << width - 1, ones)]
    for _ in range(50 * rounds()):
        a, b = corners.pop() if corners else (random.getrandbits(width), random.getrandbits(width))
        bench.set("a", a)
        bench.set("b", b)
        expected.append((a & b).bit_count())
        await bench.step()
        if len(expected) > latency:
            bench.board.equal("count", bench.get("count"), expected[-1 - latency])
    bench.finish()
