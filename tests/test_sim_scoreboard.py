"""The scoreboard names the first difference and refuses to pass on nothing."""

import numpy as np
import pytest

from cpt.sim.scoreboard import Mismatch, Scoreboard


def test_the_first_difference_is_named_with_its_place():
    want = np.zeros((3, 4), int)
    got = want.copy()
    got[1, 2] = got[2, 0] = 5
    with pytest.raises(Mismatch, match=r"^product\[1, 2\] is 5; expected 0 \(2 of 12 differ\)$"):
        Scoreboard().equal("product", got, want)


def test_shapes_must_agree():
    with pytest.raises(Mismatch, match=r"has shape \(2,\); expected \(3,\)"):
        Scoreboard().equal("x", [1, 2], [1, 2, 3])


def test_a_bench_that_compared_nothing_fails():
    with pytest.raises(Mismatch, match="nothing was compared"):
        Scoreboard().finish()


def test_compared_values_are_counted():
    board = Scoreboard()
    board.equal("x", [1, 2], [1, 2])
    board.equal("y", 3, 3)
    assert board.finish() == 3
