"""Cyclic schedules: CPT's values, the ten of its follow-up by their formulas, ends of runs, errors."""

import math
from collections import Counter

import numpy as np
import pytest

from cpt.model.arithmetic import decay
from cpt.model.bitops import saving
from cpt.model.cyclic import FOLLOW_UP, SHAPES, CosineAnnealing, Repeated, UpDown, cyclic
from cpt.model.schedule import Delayed, Plan, Reordered, Static

TOTAL = 64_000
SOURCES = {
    # profile: bits above the lower bound, at ``rest`` of a cycle, of the falling form "flipped vertically"
    "linear": lambda span, phase: ("below", span * phase),
    "cosine": lambda span, phase: ("below", 0.5 * span * (1.0 - np.cos(np.pi * phase))),
    "exponential": lambda span, phase: ("above", span * np.exp(-4 * phase)),
    "rex": lambda span, phase: ("above", span * ((1.0 - phase) / (1 - 0.9 + 0.9 * (1.0 - phase)))),
}


def bits(curve, steps):
    return [curve.bits(step) for step in range(steps)]


def by_formula(name, lo, hi, cycles):
    """The paper's schedule: profile by name, numpy's functions, its alternation of falls and rises."""
    profile, _, flip = FOLLOW_UP[name].partition("_")
    period, span = TOTAL // cycles, float(hi - lo)
    step = np.arange(TOTAL)
    index, phase = step // period, (step % period) / period

    def rise(phase):
        side, course = SOURCES[profile](span, phase)
        return lo + course if side == "below" else hi - course

    def fall(phase):
        if flip == "horizontal":
            return rise(1.0 - phase)
        side, course = SOURCES[profile](span, phase)
        return hi - course if side == "below" else lo + course

    values = rise(phase)
    if flip:
        values = np.where(index % 2 == 0, fall(phase), values)
    return np.rint(values).astype(int)


def test_the_ten_are_those_of_the_paper():
    assert list(FOLLOW_UP) == ["CR", "LR", "ER", "RR", "CT", "LT", "ETV", "ETH", "RTV", "RTH"]
    assert set(FOLLOW_UP.values()) < set(SHAPES)


@pytest.mark.parametrize("name", FOLLOW_UP)
@pytest.mark.parametrize(("lo", "hi", "cycles"), [(3, 8, 8), (3, 8, 32), (4, 8, 2), (5, 6, 16), (1, 16, 4)])
def test_each_of_the_ten_is_its_formula_at_each_of_64000_iterations(name, lo, hi, cycles):
    curve = SHAPES[FOLLOW_UP[name]](lo, hi, TOTAL, cycles)
    assert bits(curve, TOTAL) == by_formula(name, lo, hi, cycles).tolist()


SAVED = {
    # of the bit operations at 8/8 bits, cycling between 3 and 8 eight times
    "CR": 0.367,
    "LR": 0.372,
    "ER": 0.178,
    "RR": 0.601,
    "CT": 0.367,
    "LT": 0.372,
    "ETV": 0.365,
    "ETH": 0.178,
    "RTV": 0.363,
    "RTH": 0.601,
}


@pytest.mark.parametrize("name", FOLLOW_UP)
def test_bit_operations_saved(name):
    plan = Plan(cyclic(FOLLOW_UP[name], (3, 8), 8, TOTAL), Static(8))
    found = saving(plan, Plan(Static(8), Static(8)), TOTAL)
    assert found == pytest.approx(SAVED[name], abs=5e-4)


@pytest.mark.parametrize("name", FOLLOW_UP)
def test_triangular_ones_begin_high_and_others_low(name):
    found = bits(cyclic(FOLLOW_UP[name], (3, 8), 4, 4000), 4000)
    triangular = "T" in name
    assert found[0] == (8 if triangular else 3)
    first, second = found[:1000], found[1000:2000]
    assert first == sorted(first, reverse=triangular)
    assert second == sorted(second)


def test_cosine_rounds_to_nearest_and_repeats():
    assert bits(Repeated(3, 8, 160, 32), 10) == [3, 3, 5, 6, 8] * 2


def test_cosine_per_iteration_spends_as_long_near_both_bounds():
    found = bits(Repeated(3, 8, 2000, 1), 2000)
    assert found == sorted(found)
    assert found[0] == 3
    assert found[-1] == 8
    assert found.count(3) == pytest.approx(found.count(8), abs=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("steps", "cycles"), [(160, 32), (100, 32), (7, 3), (5, 5), (1, 1), (33, 32)])
def test_every_run_ends_at_the_highest_precision(shape, steps, cycles):
    curve = cyclic(shape, (3, 8), cycles, steps)
    found = bits(curve, steps)
    assert found[-1] == curve.highest == 8
    assert set(found) <= set(range(3, 9))
    assert curve.bits(steps + 10) == 8


def test_cycles_that_do_not_divide_the_run_differ_by_one_step():
    found = bits(Repeated(2, 16, 100, 32), 100)
    starts = [step for step, value in enumerate(found) if value == 2]
    assert len(starts) == 32
    assert {b - a for a, b in zip(starts, [*starts[1:], 100], strict=True)} == {3, 4}


def test_up_and_down_is_one_cycle_and_annealing_only_falls():
    assert bits(UpDown(2, 6, 16, 2), 15) == [2, 3, 4, 5, 6, 5, 4, 3, 2, 3, 4, 5, 6, 5, 4]
    falling = bits(CosineAnnealing(2, 6, 20, 2), 10)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 6


def test_delayed_start_stays_low_and_then_runs_the_curve_from_its_beginning():
    curve = Delayed(3, 2, Repeated(3, 8, 5, 1))
    assert bits(curve, 7) == [3, 3, 3, 3, 5, 6, 8]
    assert curve.highest == 8
    assert bits(cyclic("cosine", (3, 8), 1, 7, start=2), 7) == bits(curve, 7)


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_another_order_has_as_many_steps_at_each_precision(seed, steps):
    curve = cyclic("cosine", (3, 8), min(4, steps), steps)
    other = Reordered(curve, steps, seed)
    found = bits(other, steps)
    assert Counter(found) == Counter(bits(curve, steps))
    assert found[-1] == other.bits(steps + 3) == other.highest == 8
    if steps > 2:
        assert found != bits(curve, steps)


def test_backwards_is_backwards_and_shuffling_follows_the_seed():
    curve = cyclic("cosine", (3, 8), 4, 50)
    assert bits(Reordered(curve, 50), 49) == bits(curve, 49)[::-1]
    assert bits(Reordered(curve, 50, 1), 50) == bits(Reordered(curve, 50, 1), 50)
    assert bits(Reordered(curve, 50, 1), 50) != bits(Reordered(curve, 50, 2), 50)


def test_the_exponential_is_within_two_units_of_the_last_place():
    for x in np.random.default_rng(0).uniform(0, 700, 10_000):
        assert abs(decay(float(x)) - math.exp(-x)) <= 2 * math.ulp(math.exp(-x))
    assert decay(0.0) == 1
    with pytest.raises(ValueError, match=r"^x is -1.0; allowed: 0\.\.700"):
        decay(-1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Repeated(8, 3, 10, 1), r"lo is 8; allowed: at most hi \(3\)"),
        (lambda: Repeated(0, 3, 10, 1), r"lo is 0; allowed: 1\.\.16"),
        (lambda: Repeated(3, 17, 10, 1), r"hi is 17; allowed: 1\.\.16"),
        (lambda: Repeated(3, 8, 10, 11), r"cycles is 11; allowed: 1\.\.total_steps \(10\)"),
        (lambda: Repeated(3, 8, 10, 0), r"cycles is 0; allowed: 1\.\.total_steps \(10\)"),
        (lambda: Repeated(3, 8, 0, 1), "total_steps is 0; allowed: at least 1"),
        (lambda: cyclic("x", (3, 8), 1, 10), "shape is 'x'; allowed: cosine, linear, exponential, rex, "),
        (lambda: cyclic("triangular", (3, 8), 1, 10), r"shape is 'triangular' \(which is up_down now\); "),
        (lambda: cyclic("rex", (3, 8), 1, 10, start=10), r"start is 10; allowed: 0\.\.9, below the length"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
