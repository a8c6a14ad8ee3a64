"""The fast model counts the cycles that the compiled RTL counts."""

from dataclasses import replace

import numpy as np
import pytest

from cpt.host.program import Gemm
from cpt.hw.contract import ArrayConfig, Counter, OperandLayout, decode, preset
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.bare import BareMachine
from cpt.sim.fast import FastBackend, places
from cpt.sim.fast.checks import decoded
from cpt.sim.fast.timing import Timekeeper, simulate
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.sim.registers import Precision
from cpt.sim.regression import CYCLE_COUNTERS, EXACT_COUNTERS, Tally, run_case
from cpt.sim.rtl import RtlBackend
from cpt.sim.stimulus import make_case

CASES = 40
DEADLINE_CYCLES = 10_000_000
COUNTERS = EXACT_COUNTERS + CYCLE_COUNTERS


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
    exact = model.slots_den == 1
    rng = np.random.default_rng(11)
    for case in range(CASES):
        a, b = (Precision(int(rng.integers(1, 17)), bool(rng.integers(2))) for _ in "ab")
        gemm = _random_gemm(config, rng, (a, b))
        rtl, fast = RtlBackend(config, model, 1 << 21, in_step=True), FastBackend(config, model, 1 << 21)
        counted, predicted = (_counted(backend, gemm, (a, b)) for backend in (rtl, fast))
        rtl.close()
        about = f"case {case}, {memory}: {gemm.m}x{gemm.n}x{gemm.k} at {a} {b}"
        same = COUNTERS if exact else EXACT_COUNTERS
        assert {c: counted[c] for c in same} == {c: predicted[c] for c in same}, about
        assert counted[Counter.TOTAL] == pytest.approx(predicted[Counter.TOTAL], rel=0.005), about


WHOLE_BLOCKS = {
    "a first burst of one beat behind an idle port": (1, 1167, "ideal"),
    "instructions fetched between bursts that only their number holds back": (1, 1179, "ideal"),
    "short bursts where a block ends and the next begins": (1, 1232, "ps-ddr"),
    "a full queue that waits for a loader": (5, 1195, "ps-ddr"),
    "slots that the place of the doorbell decides": (1, 1331, "ps-ddr"),
}
"""Seed and number of cases of the regression in which whole blocks took other cycles than on the RTL."""


@pytest.mark.parametrize("case", WHOLE_BLOCKS.values(), ids=WHOLE_BLOCKS)
def test_blocks_that_move_as_a_whole_take_the_cycles_of_the_rtl(case: tuple[int, int, str]) -> None:
    seed, number, memory = case
    product = replace(make_case(preset("tiny"), seed, number), memory=memory, stall_probability=0.0)
    tally = Tally()
    run_case(preset("tiny"), product, tally)
    assert (tally.runs, tally.stalled) == (2, 0)


@pytest.mark.parametrize("memory", MEMORY_MODELS)
def test_whole_blocks_take_the_cycles_of_their_bursts_one_by_one(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = preset("zc706")
    rng = np.random.default_rng(12)
    for _ in range(CASES):
        a, b = (Precision(int(rng.integers(1, 9)), bool(rng.integers(2))) for _ in "ab")
        slots = [Precision(1, False), a, b]
        instructions = [decode(word.tobytes()) for word in _words(_random_gemm(config, rng, (a, b)))]
        timings = []
        for limit in (8, 1 << 62):
            monkeypatch.setattr(places, "ONE_BY_ONE_BURSTS", limit)
            timings.append(simulate(instructions, slots, config, memory_model(memory, config.clock_mhz)))
        assert timings[0] == timings[1]


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
