"""The fast model counts the cycles that the compiled RTL counts."""

from dataclasses import replace

import numpy as np
import pytest

from cpt.host.program import Gemm
from cpt.hw.contract import ArrayConfig, Counter, OperandLayout, decode, preset
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.bare import BareMachine
from cpt.sim.fast import FastBackend
from cpt.sim.fast.checks import decoded
from cpt.sim.fast.product import Precision
from cpt.sim.fast.timing import Timekeeper, simulate
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.sim.rtl import RtlBackend

TOLERANCE = 0.02
CASES = 40
DEADLINE_CYCLES = 10_000_000


Widths = tuple[Precision, Precision]


def _random_gemm(config: ArrayConfig, rng: np.random.Generator, widths: Widths) -> Gemm:
    """A product with both operands and the result at random offsets from burst boundaries."""
    m, n, k = (int(rng.integers(1, limit)) for limit in (80, 80, 700))
    widest = tuple(int(rng.integers(side.bits, 17)) for side in widths)
    at = MEMORY_BASE + (1 << 16)
    addresses = []
    for size in (
        OperandLayout(config, "a", m, k, widest[0]).nbytes,
        OperandLayout(config, "b", n, k, widest[1]).nbytes,
        0,
    ):
        addresses.append(at + 8 * int(rng.integers(0, 16)))
        at += -(-size // 128) * 128 + 128
    return Gemm(config, m, n, k, 1, 2, *addresses, *widest, col_sums=bool(rng.integers(2)))


def _counted(backend: Backend, gemm: Gemm, widths: Widths) -> dict[Counter, int]:
    machine = BareMachine(backend, 11)
    for slot, side in enumerate(widths, 1):
        machine.set_slot(slot, side.bits, side.signed)
    return dict(machine.run(gemm.program(), DEADLINE_CYCLES))


@pytest.mark.parametrize("memory", MEMORY_MODELS)
def test_random_products_take_as_many_cycles_as_on_the_rtl(memory: str) -> None:
    config = preset("tiny")
    model = memory_model(memory, config.clock_mhz)
    rng = np.random.default_rng(11)
    inexact = 0
    for case in range(CASES):
        a, b = (Precision(int(rng.integers(1, 17)), bool(rng.integers(2))) for _ in "ab")
        gemm = _random_gemm(config, rng, (a, b))
        rtl, fast = (kind(config, model, 1 << 21) for kind in (RtlBackend, FastBackend))
        counted, predicted = (_counted(backend, gemm, (a, b)) for backend in (rtl, fast))
        rtl.close()
        about = f"case {case}, {memory}: {gemm.m}x{gemm.n}x{gemm.k} at {a} {b}"
        for counter in (Counter.EXEC_BUSY, Counter.BYTES_READ, Counter.BYTES_WRITTEN):
            assert counted[counter] == predicted[counter], f"{counter.name}, {about}"
        for counter in (Counter.TOTAL, Counter.EXEC_WAIT_FETCH, Counter.EXEC_WAIT_DRAIN):
            difference = abs(counted[counter] - predicted[counter])
            assert difference <= TOLERANCE * counted[Counter.TOTAL], f"{counter.name}, {about}"
        inexact += counted[Counter.TOTAL] != predicted[Counter.TOTAL]
    assert inexact <= CASES // 10


def _words(gemm: Gemm) -> np.ndarray:
    return np.frombuffer(gemm.program().words, np.uint8).reshape(-1, 32)


def test_a_program_moved_by_whole_bursts_is_timed_once() -> None:
    config = preset("tiny")
    keeper = Timekeeper(config, memory_model("ps-ddr", config.clock_mhz))
    slots = [Precision(5, False)] * 256
    base = MEMORY_BASE
    gemm = Gemm(config, 20, 30, 100, 1, 2, base, base + 65536, base + 131072, 8, 8)
    timings = []
    for moved in (gemm, replace(gemm, addr_a=base + 1280), replace(gemm, addr_a=base + 1288)):
        words = _words(moved)
        instructions = [decode(word.tobytes()) for word in words]
        timings.append(keeper.time(words, instructions, slots, 0, 64))
    assert timings[0] is timings[1]
    assert timings[0] is not timings[2]


def test_timing_depends_on_the_slots() -> None:
    config = preset("zc706")
    model = memory_model("ps-ddr", config.clock_mhz)
    base = MEMORY_BASE
    gemm = Gemm(config, 16, 4096, 144, 1, 2, base, base + 65536, base + (1 << 24), 8, 8)
    instructions = [item for word in _words(gemm) if (item := decoded(word.tobytes()))]
    totals = []
    for bits in (3, 8):
        slots = [Precision(bits, False)] * 256
        timing = simulate(instructions, slots, config, model)
        assert timing.counters[Counter.EXEC_BUSY] == bits * bits * 128
        totals.append(timing.counters[Counter.TOTAL])
    assert totals[0] < totals[1]
    signed = simulate(instructions, [Precision(3, True)] * 256, config, model)
    assert signed.counters[Counter.EXEC_BUSY] == (3 * 3 + 1) * 128, "a bubble per tile"
