"""Precision schedules: the published values, the end of the run, the errors."""

import pytest

from cpt.model.schedule import Plan, Progressive, RandomEvery, Stages, Static, Stepper, Window


def bits(curve, steps):
    return [curve.bits(step) for step in range(steps)]


def test_progressive_schedules_rise_once():
    assert bits(Progressive(3, 8, 6), 6) == [3, 4, 5, 6, 7, 8]
    assert bits(Stages((3, 4, 6, 8), 8), 9) == [3, 3, 4, 4, 6, 6, 8, 8, 8]


def test_a_window_has_few_bits_and_the_last_step_many():
    assert bits(Window(3, 8, 6, 1, 2), 7) == [8, 3, 3, 8, 8, 8, 8]
    assert bits(Window(3, 8, 4, 2, 2), 4) == [8, 8, 3, 8]
    assert bits(Window(3, 8, 4, 0, 0), 4) == [8] * 4


def test_random_widths_hold_for_k_steps_and_replay():
    found = bits(RandomEvery(4, 8, 4001, every=2, seed=1), 4000)
    assert found[0::2] == found[1::2]
    assert found == bits(RandomEvery(4, 8, 4001, every=2, seed=1), 4000)
    assert found != bits(RandomEvery(4, 8, 4001, every=2, seed=2), 4000)
    assert all(found.count(value) > 600 for value in range(4, 9))


def test_stepper_resumes_where_it_was():
    plan = Plan(Progressive(3, 8, 10), Static(8))
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
        (lambda: Progressive(8, 3, 10), r"lo is 8; allowed: at most hi \(3\)"),
        (lambda: Window(3, 8, 4, 2, 3), r"window is 3 from 2; allowed: inside of total_steps \(4\)"),
        (lambda: Static(17), r"bits is 17; allowed: 1\.\.16, or 0 for full precision"),
        (lambda: Stages((), 4), "stages are 0; allowed"),
        (lambda: RandomEvery(3, 8, 10, every=0), "every is 0; allowed"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
