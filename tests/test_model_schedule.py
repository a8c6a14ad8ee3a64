"""Precision schedules: the published values, the end of the run, the errors."""

import pytest

from cpt.model.schedule import (
    CosineAnnealing,
    CyclicCosine,
    Delayed,
    Plan,
    Progressive,
    RandomEvery,
    Stages,
    Static,
    Stepper,
    Triangular,
)


def bits(curve, steps):
    return [curve.bits(step) for step in range(steps)]


def test_cosine_rounds_to_nearest_and_repeats():
    assert bits(CyclicCosine(3, 8, 160, 32), 10) == [3, 3, 5, 6, 8] * 2


def test_cosine_per_iteration_spends_as_long_near_both_bounds():
    found = bits(CyclicCosine(3, 8, 2000, 1), 2000)
    assert found == sorted(found)
    assert found[0] == 3
    assert found[-1] == 8
    assert found.count(3) == pytest.approx(found.count(8), abs=1)


@pytest.mark.parametrize("kind", [CyclicCosine, Triangular, CosineAnnealing])
@pytest.mark.parametrize(("steps", "cycles"), [(160, 32), (100, 32), (7, 3), (5, 5), (1, 1), (33, 32)])
def test_every_run_ends_at_the_highest_precision(kind, steps, cycles):
    curve = kind(3, 8, steps, cycles)
    found = bits(curve, steps)
    assert found[-1] == curve.highest == 8
    assert set(found) <= set(range(3, 9))
    assert curve.bits(steps + 10) == 8


def test_cycles_that_do_not_divide_the_run_differ_by_one_step():
    found = bits(CyclicCosine(2, 16, 100, 32), 100)
    starts = [step for step, value in enumerate(found) if value == 2]
    assert len(starts) == 32
    assert {b - a for a, b in zip(starts, [*starts[1:], 100], strict=True)} == {3, 4}


def test_triangle_goes_up_and_down_and_annealing_only_down():
    assert bits(Triangular(2, 6, 16, 2), 15) == [2, 3, 4, 5, 6, 5, 4, 3, 2, 3, 4, 5, 6, 5, 4]
    falling = bits(CosineAnnealing(2, 6, 20, 2), 10)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 6


def test_progressive_schedules_rise_once():
    assert bits(Progressive(3, 8, 6), 6) == [3, 4, 5, 6, 7, 8]
    assert bits(Stages((3, 4, 6, 8), 8), 9) == [3, 3, 4, 4, 6, 6, 8, 8, 8]


def test_delayed_start_stays_low_and_then_runs_the_curve_from_its_beginning():
    curve = Delayed(3, 2, CyclicCosine(3, 8, 5, 1))
    assert bits(curve, 7) == [3, 3, 3, 3, 5, 6, 8]
    assert curve.highest == 8


def test_random_widths_hold_for_k_steps_and_replay():
    found = bits(RandomEvery(4, 8, 4001, every=2, seed=1), 4000)
    assert found[0::2] == found[1::2]
    assert found == bits(RandomEvery(4, 8, 4001, every=2, seed=1), 4000)
    assert found != bits(RandomEvery(4, 8, 4001, every=2, seed=2), 4000)
    assert all(found.count(value) > 600 for value in range(4, 9))


def test_stepper_resumes_where_it_was():
    plan = Plan(CyclicCosine(3, 8, 10, 2), Static(8))
    whole, resumed = Stepper(plan), Stepper(plan)
    assert whole.get_last_bits() == (3, 8)
    for _ in range(4):
        whole.step()
    resumed.load_state_dict(whole.state_dict())
    assert [whole.step() for _ in range(6)] == [resumed.step() for _ in range(6)]
    with pytest.raises(ValueError, match="last_step is None; allowed"):
        resumed.load_state_dict({})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CyclicCosine(8, 3, 10, 1), r"lo is 8; allowed: at most hi \(3\)"),
        (lambda: CyclicCosine(0, 3, 10, 1), r"lo is 0; allowed: 1\.\.16"),
        (lambda: CyclicCosine(3, 17, 10, 1), r"hi is 17; allowed: 1\.\.16"),
        (lambda: CyclicCosine(3, 8, 10, 11), r"cycles is 11; allowed: 1\.\.total_steps \(10\)"),
        (lambda: CyclicCosine(3, 8, 10, 0), r"cycles is 0; allowed: 1\.\.total_steps \(10\)"),
        (lambda: CyclicCosine(3, 8, 0, 1), "total_steps is 0; allowed: at least 1"),
        (lambda: Static(17), r"bits is 17; allowed: 1\.\.16, or 0 for full precision"),
        (lambda: Stages((), 4), "stages are 0; allowed"),
        (lambda: RandomEvery(3, 8, 10, every=0), "every is 0; allowed"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
