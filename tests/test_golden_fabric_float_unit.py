"""The channel unit's float32: rounding, no small numbers, no -0, and exact reciprocals."""

import math
from fractions import Fraction

import numpy as np
import pytest

from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.checks import FabricOverflow, fits, saturate, shift_rounded

RNG = np.random.default_rng(5)


def f32(*values):
    return np.array(values, np.float32)


def rounded(value):
    """float32 nearest to a Fraction > 0, halves to even, by integers."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent -= value < Fraction(2) ** exponent
    scaled = value / Fraction(2) ** (exponent - 23)
    return np.float32(round(scaled) * 2.0 ** (exponent - 23))


def samples(count=300):
    some = RNG.uniform(1, 2, count) * 2.0 ** RNG.integers(-40, 40, count)
    edges = [1, 2, 3, 1 + 2**-23, 2 - 2**-23, 2**-20, 4 - 2**-22]
    return np.concatenate([some, edges]).astype(np.float32)


def test_a_reciprocal_is_the_nearest_float32():
    x = samples()
    assert [rounded(1 / Fraction(float(v))) for v in x] == fl.reciprocal(x).tolist()


def test_a_reciprocal_root_is_the_nearest_float32():
    x = samples()
    for value, found in zip(x, fl.reciprocal_root(x), strict=True):
        below, above = (Fraction(float(np.nextafter(found, np.float32(to)))) for to in (0, np.inf))
        exact = Fraction(float(found))
        v = Fraction(float(value))
        assert v * ((below + exact) / 2) ** 2 < 1 < v * ((above + exact) / 2) ** 2


@pytest.mark.slow
def test_the_reciprocal_root_is_the_nearest_float32_for_every_mantissa():
    """Of two binades, which all others repeat; 2^24 cases, suspicious ones by exact integers."""
    for exponent in (0, 1):
        x = (np.arange(1 << 23, 1 << 24) * 2.0 ** (exponent - 23)).astype(np.float32)
        units = (fl.reciprocal_root(x).astype(np.float64) * 2**24).astype(np.int64)
        whole = (x.astype(np.float64) * 2**23).astype(np.int64)
        for side in (-1, 1):
            ratio = whole.astype(np.longdouble) * (2 * units + side).astype(np.longdouble) ** 2
            ratio = ratio / np.longdouble(2) ** 73 - 1
            near = np.flatnonzero(ratio * side < 2.0**-48)
            for i in near:
                exact = int(whole[i]) * (2 * int(units[i]) + side) ** 2
                assert (exact - 2**73) * side >= 0


def test_small_results_are_plus_0_and_there_is_no_minus_0():
    small, one = f32(2.0**-126, -(2.0**-126), 2.0**-140), np.float32(1)
    for found in (fl.multiply(small, one), fl.add(small, np.float32(0)), fl.multiply(f32(-0.0), one)):
        assert not found.any()
        assert not np.signbit(found).any()
    assert fl.multiply(f32(2.0**-125), one)[0] == 2.0**-125


def test_an_operand_below_the_normal_numbers_counts_as_0():
    small = np.array([2.0**-127, -1e-40, 2.0**-149], np.float32)
    assert fl.multiply(small, np.float32(2.0**20)).tolist() == [0, 0, 0]
    assert fl.add(small, np.float32(2.0**-125)).tolist() == [2.0**-125] * 3
    assert fl.scale(small, 40).tolist() == [0, 0, 0]
    assert fl.exponent(small).tolist() == [-126] * 3
    with pytest.raises(FabricOverflow, match="reciprocal"):
        fl.reciprocal(small[:1])
    assert fl.multiply(np.float32(2.0**-126), np.float32(2.0)) == 2.0**-125


def test_what_is_not_finite_raises():
    for operation in (
        lambda: fl.multiply(f32(3e38), f32(2)),
        lambda: fl.reciprocal(f32(0)),
        lambda: fl.reciprocal_root(f32(-1)),
    ):
        with pytest.raises(FabricOverflow, match="is not finite"):
            operation()


def test_a_multiply_add_rounds_twice():
    a = f32(1 + 2**-12)
    exact = 1 + 2**-11 + 2**-24
    assert fl.multiply_add(a, a, f32(-1))[0] == np.float32(np.float32(exact) - 1) != np.float32(exact - 1)


def test_integers_up_to_66_bits_become_the_nearest_float32():
    values = [
        0,
        1,
        -1,
        2**24 + 1,
        2**24 + 3,
        2**47 - 1,
        2**53 + 1,
        2**65 + 2**41,
        2**65 + 2**41 + 1,
        -(2**65),
    ]
    values += [int(RNG.integers(2**62)) * 8 + i for i in range(50)]
    values += [(2**24 + 1) * 2**30 + 1, -(2**24 + 1) * 2**30 - 1, (2**24 + 1) * 2**30]
    want = [math.copysign(float(rounded(Fraction(abs(v)))), v) if v else 0.0 for v in values]
    assert fl.from_integer(np.array(values, object)).tolist() == want
    short = np.array([v for v in values if abs(v) < 2**63], np.int64)
    assert fl.from_integer(short).tolist() == [w for v, w in zip(values, want, strict=True) if abs(v) < 2**63]


def test_fixed_point_rounds_halves_to_even_and_refuses_what_does_not_fit():
    assert fl.to_fixed(f32(0.5, 1.5, -0.5, 2.25), 0).tolist() == [0, 2, 0, 2]
    assert fl.to_fixed(f32(1), 16, 18).tolist() == [65536]
    with pytest.raises(FabricOverflow, match="allowed: 18 bits"):
        fl.to_fixed(f32(1), 17, 18)


def test_the_exponent_is_that_of_the_field():
    assert fl.exponent(f32(1, 1.99, 2, 0.5, -3, 0)).tolist() == [0, 0, 1, -1, 1, -126]


def test_a_rounded_shift_takes_halves_up_also_below_0():
    values = np.array([-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6])
    assert shift_rounded(values, 2).tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]
    assert (shift_rounded(values, 0) == values).all()
    assert (shift_rounded(np.array([4, 4, 4]), np.array([0, 1, 3])) == [4, 2, 1]).all()


def test_widths_are_checked_to_the_last_value():
    assert fits("x", np.array([-8, 7]), 4) is not None
    for value in (-9, 8):
        with pytest.raises(FabricOverflow, match=f"x is {value}..{value}; allowed: 4 bits, signed"):
            fits("x", np.array([value]), 4)
    clipped, count = saturate(np.array([-40000, -32768, -32767, 32767, 32768]))
    assert clipped.tolist() == [-32767, -32767, -32767, 32767, 32767]
    assert count == 3
