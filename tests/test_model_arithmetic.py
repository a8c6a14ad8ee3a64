"""Arithmetic whose bits are stated: close to the true values, in the stated order, and pinned."""

import hashlib
import math

import numpy as np
import pytest

from cpt.model import arithmetic
from cpt.model.arithmetic import cosine, divide, exponential, logarithm, reciprocal_root, sum_in_halves

RNG = np.random.default_rng(4)


def units_off(found, expected):
    """Largest distance in units of float32's last place."""
    return np.max(np.abs(found - expected) / np.spacing(np.abs(expected).astype(np.float32)))


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100])
def test_a_sum_adds_its_second_half_to_its_first_until_one_is_left(count):
    terms = RNG.standard_normal((count, 3)).astype(np.float32)
    before, left = terms.copy(), list(terms)
    while len(left) > 1:
        half = (len(left) + 1) // 2
        left = [left[i] + left[half + i] if half + i < len(left) else left[i] for i in range(half)]
    assert sum_in_halves(terms).tobytes() == left[0].tobytes()
    assert terms.tobytes() == before.tobytes()
    assert sum_in_halves(terms, overwrite=True).tobytes() == left[0].tobytes()


def test_a_sum_does_not_depend_on_how_its_terms_lie_in_memory():
    terms = RNG.standard_normal((37, 5, 4)).astype(np.float32)
    turned = np.ascontiguousarray(terms.transpose(2, 1, 0)).transpose(2, 1, 0)
    assert sum_in_halves(terms).tobytes() == sum_in_halves(turned).tobytes()
    assert sum_in_halves(np.zeros((0, 2), np.float32)).tolist() == [0, 0]


def test_exponentials_are_close_and_end_at_zero():
    x = -np.linspace(0, 87, 100_001).astype(np.float32)
    assert units_off(exponential(x), np.exp(x.astype(np.float64))) < 2
    found = exponential(np.float32([0, -88, -1e30, -np.inf, np.nan]))
    np.testing.assert_array_equal(found, np.float32([1, 0, 0, 0, np.nan]))


def test_logarithms_are_close():
    x = np.concatenate([np.linspace(0.5, 100, 100_001), np.logspace(-37, 38, 10_001)]).astype(np.float32)
    assert units_off(logarithm(x), np.log(x.astype(np.float64))) < 3
    assert logarithm(np.float32([1])) == 0


def test_cosines_are_close_and_exact_at_the_ends():
    for part in range(1001):
        angle = math.pi * (part / 1000)
        assert cosine(angle) == pytest.approx(math.cos(angle), rel=5e-16, abs=1e-32)
    assert (cosine(0.0), cosine(math.pi)) == (1, -1)
    with pytest.raises(ValueError, match=r"angle is 4; allowed: 0\.\.pi"):
        cosine(4)


def test_division_by_way_of_float64_gives_the_same_bits(monkeypatch):
    left, right = (RNG.standard_normal(10_000).astype(np.float32) for _ in range(2))
    expected = divide(left, right)
    assert expected.tobytes() == (left / right).tobytes()
    monkeypatch.setattr(arithmetic, "_DIVIDES_EXACTLY", False)
    assert divide(left, right).tobytes() == expected.tobytes()
    assert divide(left, right, out=left) is left
    assert left.tobytes() == expected.tobytes()


def test_the_bits_are_those_of_every_other_machine():
    x = np.arange(1, 20_001, dtype=np.float32) * np.float32(0.00173)
    assert digest(exponential(-x)) == "090b4b72ede93acb"
    assert digest(logarithm(x)) == "290ef91f5e38a65d"
    assert digest(reciprocal_root(x)) == "8c32c4424c59587e"
    assert digest(divide(x[::-1], x)) == "5464056d508f3f72"
    assert digest(sum_in_halves(x.reshape(-1, 4))) == "07b151791f479ee6"
    cosines = np.array([cosine(math.pi * (part / 997)) for part in range(998)])
    assert hashlib.sha256(cosines.astype("<f8").tobytes()).hexdigest()[:16] == "3941a37d582c7a6b"
