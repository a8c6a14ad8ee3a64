"""Bench of `cpt.hw.matrix.unit`: products along the anti-diagonals, and any legal sequence of steps."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.contract.order import tile_steps
from cpt.hw.matrix.unit import CONTROLS, Unit, result_bits
from cpt.model.golden import int_matmul
from cpt.sim.bench.core import Bench, numpy_rng, option, rounds
from cpt.sim.bench.planes import word
from cpt.sim.stimulus import random_codes

MODES: tuple[tuple[str, ...], ...] = (
    (),
    ("clear",),
    ("clear", "count"),
    ("clear", "count", "subtract"),
    ("count",),
    ("count", "subtract"),
    ("double", "count"),
    ("double",),
)
"""Controls of every legal step."""


class Driver:
    """Gives a unit steps and checks every result against plain integers."""

    def __init__(self, bench: Bench) -> None:
        config = preset(option("preset", "tiny"))
        self.bench = bench
        self.width = config.word_bits
        self._modulus = 1 << result_bits(config)
        self._latency = Unit(self.width).latency_cycles
        self._total = self.result = 0
        self._coming: list[int] = []

    async def step(self, a: int, b: int, *controls: str) -> None:
        """One cycle with words and the controls that are high."""
        bench = self.bench
        bench.set("a", a)
        bench.set("b", b)
        for name in CONTROLS:
            bench.set(name, int(name in controls))
        base = 0 if "clear" in controls else self._total * (2 if "double" in controls else 1)
        ones = (a & b).bit_count() * ("count" in controls) * (-1 if "subtract" in controls else 1)
        self._total = base + ones
        if "capture" in controls:
            self.result = self._total
        await bench.step()
        self._coming.append(self.result % self._modulus)
        if len(self._coming) > self._latency:
            bench.board.equal("result", bench.get("result"), self._coming[-1 - self._latency])

    async def start(self) -> None:
        """Reset, and a first step that gives accumulator and result a value."""
        await self.bench.start()
        await self.step(0, 0, "clear", "capture")

    async def flush(self) -> None:
        """Steps that do nothing, until everything given has been checked."""
        for _ in range(self._latency):
            await self.step(0, 0)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def captured_result_is_the_integer_dot_product(dut: Any) -> None:
    bench, rng = Bench(dut), numpy_rng()
    unit = Driver(bench)
    await unit.start()
    for _ in range(rounds()):
        bits = [int(rng.integers(1, 9)) for _ in range(2)]
        signed = [bool(rng.integers(2)) for _ in range(2)]
        ksteps = int(rng.integers(1, 4))
        a, b = (random_codes(rng, (1, ksteps * unit.width), n, s) for n, s in zip(bits, signed, strict=True))
        pairs = list(tile_steps(bits[0], bits[1], signed[0], signed[1], ksteps))
        for number, step in enumerate(pairs):
            while random.random() < 0.2:  # gaps, in which the accumulator must stand still
                await unit.step(random.getrandbits(unit.width), random.getrandbits(unit.width))
            words = word(a[0], step.plane_a, step.k, unit.width), word(b[0], step.plane_b, step.k, unit.width)
            controls = [name for name in ("clear", "double", "count", "subtract") if getattr(step, name)]
            await unit.step(*words, *controls, *["capture"] * (number == len(pairs) - 1))
        bench.board.equal("product", unit.result, int(int_matmul(a, b)[0, 0]))
    await unit.flush()
    bench.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def any_legal_sequence_gives_what_integers_give(dut: Any) -> None:
    bench = Bench(dut)
    unit = Driver(bench)
    await unit.start()
    full = (1 << unit.width) - 1
    for _ in range(200 * rounds()):
        a, b = (random.choice((full, random.getrandbits(unit.width))) for _ in range(2))
        await unit.step(a, b, *random.choice(MODES), *random.choice(((), ("capture",))))
    await unit.flush()
    bench.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def the_extremes_fit_the_result(dut: Any) -> None:
    bench = Bench(dut)
    unit = Driver(bench)
    await unit.start()
    full = (1 << unit.width) - 1
    for sign in ((), ("subtract",)):
        await unit.step(full, full, "clear", "count", *sign)
        for _ in range(30):
            await unit.step(0, 0, "double")
            await unit.step(full, full, "count", *sign, "capture")
    await unit.flush()
    bench.finish()
