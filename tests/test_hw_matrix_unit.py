"""cpt.hw.matrix.unit: counts that are accumulated as the controls say."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import ContractError, preset
from cpt.hw.matrix.unit import CONTROLS, Unit, result_bits

WIDTHS = (9, 36, 72)
MODES = {
    "hold": (),
    "zero": ("clear",),
    "clear": ("clear", "count"),
    "clear, negative": ("clear", "count", "subtract"),
    "add": ("count",),
    "subtract": ("count", "subtract"),
    "double": ("double", "count"),
    "bubble": ("double",),
}
"""Every step that an array takes, by the controls that are high."""
ACCUMULATOR = 1 << 48


def accumulated(total: int, ones: int, controls: Iterable[str]) -> int:
    """P after a step, from the sentence in docs/machine.md."""
    base = 0 if "clear" in controls else 2 * total if "double" in controls else total
    ones = ones if "count" in controls else 0
    return (base - ones if "subtract" in controls else base + ones) % ACCUMULATOR


def run(unit: Unit, steps: list[tuple[int, int, tuple[str, ...]]]) -> list[int]:
    """The result after each step of ``(a, b, controls)``, taken when the step has reached it."""
    results = []

    async def bench(ctx: Any) -> None:
        for a, b, controls in steps + [(0, 0, ())] * unit.latency_cycles:
            ctx.set(unit.a, a)
            ctx.set(unit.b, b)
            for name in CONTROLS:
                ctx.set(getattr(unit, name), int(name in controls))
            results.append(ctx.get(unit.result))
            await ctx.tick()

    simulate(unit, bench)
    return results[unit.latency_cycles :]


def expected(steps: list[tuple[int, int, tuple[str, ...]]], bits: int = 48) -> list[int]:
    total = result = 0
    results = []
    for a, b, controls in steps:
        total = accumulated(total, bin(a & b).count("1"), controls)
        result = total if "capture" in controls else result
        results.append(result % (1 << bits))
    return results


@pytest.mark.parametrize("mode", MODES)
def test_each_step_does_what_its_name_says(mode: str) -> None:
    steps = [
        (0x1FF, 0x1FF, ("clear", "count", "capture")),
        (0x1FF, 0x0FF, ("count", "capture")),
        (0x155, 0x1FF, (*MODES[mode], "capture")),
    ]
    want = {
        "hold": 17, "zero": 0, "clear": 5, "clear, negative": -5, "add": 22, "subtract": 12, "double": 39,
        "bubble": 34,
    }  # fmt: skip
    assert run(Unit(9), steps) == [9, 17, want[mode] % ACCUMULATOR]


@pytest.mark.parametrize("word_bits", WIDTHS)
def test_random_steps_give_what_plain_integers_give(word_bits: int) -> None:
    rng = random.Random(word_bits)
    full = (1 << word_bits) - 1
    steps: list[tuple[int, int, tuple[str, ...]]] = [(full, full, ("clear", "count", "capture"))]
    for _ in range(300):
        a, b = (rng.choice((full, 0, rng.getrandbits(word_bits))) for _ in range(2))
        controls = MODES[rng.choice([*MODES])]
        steps.append((a, b, (*controls, "capture") if rng.random() < 0.5 else controls))
    assert run(Unit(word_bits, checked=True), steps) == expected(steps)


def test_a_result_stands_until_the_next_capture() -> None:
    full = (1 << 9) - 1
    steps = [(full, full, ("clear", "count", "capture")), *[(full, full, ("double", "count"))] * 20]
    assert run(Unit(9), steps) == [9] * 21


def test_what_no_control_names_changes_nothing() -> None:
    """Words come and go while all controls are low."""
    steps = [(0xFF, 0xFF, ("clear", "count")), *[(n, n, ()) for n in range(64)], (1, 1, ("capture",))]
    assert run(Unit(9), steps)[-1] == 8


def test_the_largest_tile_of_every_preset_fits_its_result() -> None:
    for name in ("zc706", "z7020", "tiny"):
        config = preset(name)
        bits = result_bits(config)
        half = min(config.half_words("a"), config.half_words("b"))
        for a in range(1, 17):
            for b in range(1, 17):
                products = half // max(a, b) * config.word_bits
                assert products * ((1 << a) - 1) * ((1 << b) - 1) < 1 << bits - 1
                assert products << a + b - 2 <= 1 << bits - 1
    assert result_bits(preset("zc706")) == 46


def test_a_narrow_result_is_the_low_part_of_the_sum() -> None:
    steps = [(0x1FF, 0x1FF, ("clear", "count", "subtract"))]
    steps += [(0x1FF, 0x1FF, ("double", "count", "capture"))] * 5
    assert run(Unit(9, bits=6), steps) == expected(steps, bits=6)


@pytest.mark.parametrize("other", ["subtract", "clear"])
def test_a_double_together_with_a_clear_or_a_subtraction_ends_the_simulation(other: str) -> None:
    steps = [(1, 1, ("clear", "count")), (1, 1, ("double", "count", other))]
    with pytest.raises(AssertionError, match="double with subtract or clear"):
        run(Unit(9, checked=True), steps)


def test_an_unknown_form_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="form is 'asic'; allowed: portable"):
        Unit(36, "asic")
    with pytest.raises(ContractError, match="bits is 49; allowed: 1 to 48"):
        Unit(36, bits=49)
