"""A seeded sample of the regression, what its full list covers, and how it reports a failure."""

import numpy as np
import pytest

from cpt.hw.contract import preset
from cpt.sim import regression
from cpt.sim.stimulus import PRECISIONS, case_count, edge_shapes, make_case

TINY = preset("tiny")


def test_rtl_fast_model_and_golden_agree_on_a_sample():
    numbers = regression.sample(TINY, seed=7, count=60)
    tally = regression.run_cases(TINY, 7, numbers)
    assert tally.runs >= 60
    assert tally.stalled >= 20
    assert tally.values > 60_000
    assert tally.runs - tally.stalled >= 15


def test_the_full_list_covers_what_the_product_promises():
    cases = [make_case(TINY, 1, number) for number in range(case_count(TINY))]
    widths = {(p.bits_a, p.bits_b, p.signed_a, p.signed_b) for case in cases for p in case.precisions}
    assert len(widths) == len(PRECISIONS) == 16 * 16 * 4
    shapes = [(case.m, case.n, case.k) for case in cases]
    assert set(edge_shapes(TINY)) <= set(shapes)
    assert len(set(shapes)) >= 2000
    assert len({(case.m, case.n, case.k) for case in cases if case.stall_probability}) >= 200
    assert max(m for m, _, _ in shapes) <= 80
    assert max(n for _, n, _ in shapes) <= 80
    assert max(k for _, _, k in shapes) <= 700
    assert {case.col_sums for case in cases} == {False, True}
    assert len({case.taps for case in cases if case.col_sums}) > 300


def test_a_case_is_the_same_whenever_it_is_made():
    assert make_case(TINY, 3, 1200) == make_case(TINY, 3, 1200)
    assert make_case(TINY, 3, 1200) != make_case(TINY, 4, 1200)


def test_a_difference_fails_with_the_command_that_replays_it(monkeypatch, capsys):
    def one_off(a, b):
        product = a.astype(np.int64) @ b.astype(np.int64).T
        product[-1, -1] += 1
        return product

    monkeypatch.setattr(regression, "int_matmul", one_off)
    assert regression.main(["--case", "5", "--seed", "9"]) == 1
    message = capsys.readouterr().err
    assert "RtlBackend product" in message
    assert "(1 of " in message
    assert "replay: python -m cpt.sim.regression --preset tiny --case 5 --seed 9" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "preset is 'huge'; allowed"),
        (["--case", "99999"], "case is 99999; allowed: 0.."),
    ],
)
def test_bad_options_give_one_line_and_status_2(arguments, message, capsys):
    assert regression.main(arguments) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
