"""Running ranges start without bias and forget exponentially."""

import numpy as np
import pytest

from cpt.model.ranges import RunningRange


def test_first_value_is_the_first_range_itself():
    running = RunningRange()
    running.update(-3, 5)
    assert running.value() == pytest.approx((-3, 5), rel=1e-6)


def test_a_constant_range_stays_what_it_is():
    running = RunningRange()
    for _ in range(30):
        running.update(0.25, 7)
    assert running.value() == pytest.approx((0.25, 7), rel=1e-6)
    assert isinstance(running.lo, np.float32)


def test_later_ranges_weigh_more_by_the_momentum():
    running = RunningRange()
    running.update(0, 1)
    running.update(0, 2)
    assert running.value()[1] == pytest.approx((0.9 * 1 + 2) / 1.9, rel=1e-6)


def test_evaluation_before_any_training_is_refused():
    with pytest.raises(ValueError, match=r"^running range has 0 updates; allowed"):
        RunningRange().value()
