"""Bench of `cpt.hw.matrix.dot_product`: products along the anti-diagonals against the golden product."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.order import tile_steps
from cpt.hw.matrix.dot_product import DotProductUnit
from cpt.model.golden import int_matmul
from cpt.sim.bench.core import Bench, numpy_rng, option, rounds
from cpt.sim.bench.planes import word
from cpt.sim.stimulus import random_codes


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def captured_result_is_the_integer_dot_product(dut: Any) -> None:
    bench, rng = Bench(dut), numpy_rng()
    await bench.start()
    width = preset(option("preset", "tiny")).word_bits
    delay = DotProductUnit(width).count_latency_cycles
    for _ in range(rounds()):
        bits = [int(rng.integers(1, 9)) for _ in range(2)]
        signed = [bool(rng.integers(2)) for _ in range(2)]
        ksteps = int(rng.integers(1, 4))
        a, b = (random_codes(rng, (1, ksteps * width), n, s) for n, s in zip(bits, signed, strict=True))
        flags: list[dict[str, int]] = []
        for step in tile_steps(bits[0], bits[1], signed[0], signed[1], ksteps):
            while random.random() < 0.2:  # gaps, in which the accumulator must stand still
                flags.append({"enable": 0})
                await _cycle(bench, flags, delay)
            bench.set("a", word(a[0], step.plane_a, step.k, width))
            bench.set("b", word(b[0], step.plane_b, step.k, width))
            does = {
                "clear": step.clear,
                "double": step.double,
                "count": step.count,
                "negative": step.subtract,
            }
            flags.append({"enable": 1, **does})
            await _cycle(bench, flags, delay)
        for _ in range(delay):
            flags.append({"enable": 0})
            await _cycle(bench, flags, delay)
        bench.set("enable", 0)
        bench.set("capture", 1)
        await bench.step()
        bench.set("capture", 0)
        await bench.step()
        want = int(int_matmul(a, b)[0, 0])
        bench.board.equal("result", bench.get("result"), want % (1 << ACC_BITS))
    bench.finish()


async def _cycle(bench: Bench, flags: list[dict[str, int]], delay: int) -> None:
    """One cycle: the flags of the words presented ``delay`` cycles ago."""
    if len(flags) > delay:
        late = {"clear": 0, "double": 0, "count": 0, "negative": 0, **flags[-1 - delay]}
    else:
        late = {"enable": 0}
    for name, value in late.items():
        bench.set(name, int(value))
    await bench.step()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def the_extremes_fit_the_accumulator(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    width = preset(option("preset", "tiny")).word_bits
    delay = DotProductUnit(width).count_latency_cycles
    ones = (1 << width) - 1
    bench.set("a", ones)
    bench.set("b", ones)
    bench.set("count", 1)
    for negative in (0, 1):
        bench.set("negative", negative)
        await bench.step(delay)
        bench.set("enable", 1)
        bench.set("clear", 1)
        await bench.step()
        bench.set("clear", 0)
        bench.set("double", 1)
        await bench.step(30)
        bench.set("enable", 0)
        bench.set("capture", 1)
        await bench.step()
        bench.set("capture", 0)
        await bench.step()
        total = int(np.sum(width * 2.0 ** np.arange(31))) * (-1 if negative else 1)
        bench.board.equal("result", bench.get("result"), total % (1 << ACC_BITS))
    bench.finish()
