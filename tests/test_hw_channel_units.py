"""Units of the float engine leave the bits of the golden float unit, streamed, a number a cycle."""

import numpy as np
import pytest
from channel_numbers import EXTREMES, drawn_floats, pairs, streamed, words

from cpt.hw.channel.exponents import Exponents, ExponentUnit
from cpt.hw.channel.extremes import Extremes
from cpt.hw.channel.fixed import Fixed
from cpt.hw.channel.integers import Integers, IntegerUnit
from cpt.hw.channel.multiplier import CROSS_STEPS, Multiplier, Products
from cpt.hw.channel.root import Roots
from cpt.hw.channel.rounder import Rounder
from cpt.hw.contract.floats import Op
from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.channel import power_of_two
from cpt.model.golden.fabric.checks import PRODUCT_BITS
from cpt.model.golden.fabric.codes import drain_shift
from cpt.sim.step.floats import FUNCTIONS

COUNT = 2400


def same(found, expected, *given):
    wrong = np.flatnonzero(np.asarray(found) != np.asarray(expected))
    assert not wrong.size, [(found[i], expected[i], *(value[i] for value in given)) for i in wrong[:4]]


def drawn_integers(rng, bits, count):
    """Of all lengths up to ``bits``, with the ends of the range first."""
    most = (1 << bits - 1) - 1
    values = [0, 1, -1, most, -most - 1]
    for length in rng.integers(0, bits, count - len(values)).tolist():
        values.append(int(rng.integers(-(1 << length), 1 << length)) if length < 63 else most)
    return values


def test_products_are_rounded_once():
    a, b = pairs(np.random.default_rng(2), COUNT)
    with np.errstate(over="ignore"):
        over = ~np.isfinite(a * b)
    expected = words(fl.multiply(np.where(over, 0, a), b))
    found = streamed(Multiplier(), {"a": words(a), "b": words(b)}, ("result", "overflow"))
    assert [overflow for _, overflow in found] == over.astype(int).tolist()
    same(np.array([result for result, _ in found])[~over], expected[~over], a[~over], b[~over])


@pytest.mark.parametrize(("bits", "b_bits"), [(48, 18), (32, 8)])
def test_products_of_integers_are_exact_before_they_are_rounded(bits, b_bits):
    rng = np.random.default_rng(3)
    a, b = drawn_integers(rng, bits, COUNT // 3), drawn_integers(rng, b_bits, COUNT // 3)
    rng.shuffle(b)
    block = Multiplier()
    found = streamed(
        block,
        {"a": a, "b": b},
        ("exact",),
        done="exact_done",
        latency_cycles=block.exact_cycles,
        kind=Products.INTEGER,
    )
    exact = [left * right for left, right in zip(a, b, strict=True)]
    same([value for (value,) in found], exact, a, b)
    rounded = streamed(Rounder(), {"value": exact}, ("result",))
    expected = FUNCTIONS[Op.FROM_INTEGER](np.array(a), np.array(b), np.array(0), 0, 0)
    same([value for (value,) in rounded], words(expected), exact)


def test_differences_of_products_are_exact_before_they_are_rounded():
    rng = np.random.default_rng(4)
    count = COUNT // 8
    a, b, c = (drawn_integers(rng, bits, count) for bits in (48, 48, 35))
    for values in (b, c):
        rng.shuffle(values)
    for constant in (1 << 17, -(1 << 31), 4093):
        block = Multiplier()
        found = streamed(
            block,
            {"a": a, "b": b, "c": c},
            ("exact",),
            CROSS_STEPS,
            done="exact_done",
            latency_cycles=block.exact_cycles + CROSS_STEPS - 1,
            kind=Products.CROSS,
            constant=constant,
        )
        exact = [constant * x - y * z for x, y, z in zip(a, b, c, strict=True)]
        same([value for (value,) in found], exact, a, b, c)
    rounded = streamed(Rounder(), {"value": exact}, ("result",))
    expected = FUNCTIONS[Op.CROSS](np.array(a), np.array(b), np.array(c), constant, 0)
    same([value for (value,) in rounded], words(expected), exact)


def test_long_integers_near_halves_are_rounded_to_even():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(COUNT // 2):
        length = int(rng.integers(20, 80))
        value = int(rng.integers(1 << 23, 1 << 24)) << max(length - 24, 0)
        value += ((1 << max(length - 25, 0)) + int(rng.integers(-1, 2))) * int(rng.integers(0, 2))
        values.append(value * int(rng.choice([-1, 1])))
    found = streamed(Rounder(), {"value": values}, ("result",))
    same([value for (value,) in found], words(fl.from_integer(np.array(values, object))), values)


def test_a_drains_shift_is_the_smallest_that_cannot_saturate():
    rng = np.random.default_rng(6)
    edges = [(32767 << h) + more for h in range(32) for more in (-1, 0, 1)]
    values = [*edges, *(value for value in drawn_integers(rng, PRODUCT_BITS, COUNT // 4))]
    found = streamed(Rounder(), {"value": values}, ("shift",))
    same([value for (value,) in found], drain_shift(np.array(values), 1), values)


@pytest.mark.parametrize("units", [1, 4])
@pytest.mark.parametrize("root", [0, 1])
def test_reciprocals_and_roots_are_the_nearest(root, units):
    rng = np.random.default_rng(7)
    x = np.concatenate([EXTREMES, drawn_floats(rng, COUNT // 40, 124)])
    close = np.arange(-6, 6, dtype=np.int32)
    x = np.concatenate(
        [x, *((words(np.float32(2.0**k)).view(np.int32) + close).view(np.float32) for k in (0, 1))]
    )
    x = x[np.abs(x) >= 2.0**-126]
    x = np.abs(x) if root else x
    block = Roots(units)
    found = streamed(block, {"x": words(x)}, ("result", "overflow"), block.interval_cycles, root=root)
    expected = fl.reciprocal_root(x) if root else fl.reciprocal(x)
    same([value for value, _ in found], words(expected), x)
    assert not any(overflow for _, overflow in found)


def test_the_reciprocal_of_0_overflows():
    block = Roots(1)
    x = words(np.array([0, 1e-39], np.float32))
    found = streamed(block, {"x": x}, ("overflow",), block.interval_cycles)
    assert found == [(1,), (1,)]


@pytest.mark.parametrize("constant", [18, 16, 26, 47, 1 << 8 | 47])
def test_fixed_point_is_rounded_and_cut(constant):
    rng = np.random.default_rng(constant)
    a = np.concatenate([EXTREMES, drawn_floats(rng, COUNT // 10, 40)])
    halves = (rng.integers(-(1 << 20), 1 << 20, COUNT // 20) + 0.5).astype(np.float32)
    b = rng.integers(-40, 40, len(a))
    a, b = np.concatenate([a, halves]), np.concatenate([b, np.zeros(len(halves), np.int64)])
    if constant >> 8:
        b = np.clip(b, 9, None)
    expected = FUNCTIONS[Op.TO_FIXED](a, b, b, constant, 0)
    found = streamed(
        Fixed(), {"a": words(a), "b": b}, ("result",), width=constant & 0xFF, centred=constant >> 8
    )
    same([value for (value,) in found], expected, a, b)


def test_a_far_shift_gives_0_or_the_most():
    a = np.array([1, -1, 0, 1e-39, 3e38, -3e38] * 2, np.float32)
    b = np.array([2**31 - 1] * 6 + [-(2**31)] * 6)
    expected = FUNCTIONS[Op.TO_FIXED](a, np.clip(b, -500, 500), b, 18, 0)
    expected[3] = 0  # counts as 0
    found = streamed(Fixed(), {"a": words(a), "b": b}, ("result",), width=18)
    same([value for (value,) in found], expected, a, b)


def test_exponents_are_added_and_read():
    rng = np.random.default_rng(8)
    a = np.concatenate([EXTREMES, drawn_floats(rng, COUNT // 20, 124), 32752 * np.exp2(np.arange(-9.0, 9))])
    a = np.concatenate([a, np.nextafter(a, np.float32(3e38)), np.nextafter(a, np.float32(0))]).astype(
        np.float32
    )
    b = rng.integers(-150, 150, len(a))
    expected = {
        Exponents.EXPONENT: fl.exponent(a),
        Exponents.POWER: power_of_two(a),
    }
    for kind, values in expected.items():
        found = streamed(ExponentUnit(), {"a": words(a)}, ("result",), kind=kind)
        same([value for (value,) in found], values, a)
    with np.errstate(over="ignore"):
        over = ~np.isfinite(np.ldexp(fl.operand(a), b.astype(np.int32)))
    found = streamed(ExponentUnit(), {"a": words(a), "b": b}, ("result", "overflow"), kind=Exponents.SCALE)
    assert [overflow for _, overflow in found] == over.astype(int).tolist()
    scaled = words(fl.scale(np.where(over, 0, a), b))
    same(np.array([value for value, _ in found])[~over] & 0xFFFF_FFFF, scaled[~over], a[~over], b[~over])


EXTREMES_OF = {
    Op.MAXIMUM: {"floats": 1},
    Op.MINIMUM: {"floats": 1, "least": 1},
    Op.LARGEST: {"floats": 1, "magnitude": 1},
    Op.INT_MAXIMUM: {},
    Op.INT_MINIMUM: {"least": 1},
}


@pytest.mark.parametrize("op", EXTREMES_OF)
def test_the_extreme_of_two_or_of_a_row(op):
    rng = np.random.default_rng(int(op))
    settings = EXTREMES_OF[op]
    if "floats" in settings:
        a, b = (np.delete(values, np.arange(len(EXTREMES) ** 2)) for values in pairs(rng, COUNT // 4))
        a[:50] = b[:50]
        bits = words
    else:
        a, b = (np.array(drawn_integers(rng, 48, COUNT // 4)) for _ in range(2))
        rng.shuffle(a)
        bits = np.asarray
    alone = FUNCTIONS[op](a, b, b, 0, 0)
    first = np.ones(len(a), int)
    found = [
        value
        for (value,) in streamed(
            Extremes(), {"a.0": bits(a), "b.0": bits(b), "first": first}, ("result.0",), **settings
        )
    ]
    mask = 0xFFFF_FFFF if "floats" in settings else -1
    same(np.array(found) & mask, bits(alone), a, b)
    first = rng.random(len(a)) < 0.1
    first[0] = True
    found = [
        value
        for (value,) in streamed(
            Extremes(), {"a.0": bits(a), "b.0": bits(b), "first": first}, ("result.0",), **settings
        )
    ]
    expected, so_far = [], a[:1]
    for i in range(len(a)):
        so_far = FUNCTIONS[op](a[i : i + 1] if first[i] else so_far, b[i : i + 1], b, 0, 0)
        expected.append(int(bits(so_far)[0]))
    same(np.array(found) & mask, expected, a, b)


INTEGERS_OF = {
    Op.INT_ADD: (Integers.ADD, 46, 0),
    Op.INT_SUBTRACT: (Integers.SUBTRACT, 46, 0),
    Op.JOIN: (Integers.JOIN, 16, 0),
    **{(Op.COPY, shift): (Integers.COPY, 48, shift) for shift in (0, 5, 32, 47)},
}


@pytest.mark.parametrize("case", INTEGERS_OF, ids=str)
def test_integers_are_added_shifted_and_joined(case):
    kind, bits, shift = INTEGERS_OF[case]
    op = case[0] if isinstance(case, tuple) else case
    rng = np.random.default_rng(9)
    a, b = (np.array(drawn_integers(rng, width, COUNT // 8)) for width in (max(bits, 32), bits))
    rng.shuffle(b)
    found = streamed(IntegerUnit(), {"a.0": a, "b.0": b}, ("result.0",), kind=kind, shift=shift)
    same([value for (value,) in found], FUNCTIONS[op](a, b, b, shift, 0), a, b)


@pytest.mark.parametrize("fraction_bits", [0, 9, 14, 16])
def test_magnitudes_add_up_row_by_row(fraction_bits):
    rng = np.random.default_rng(fraction_bits)
    a, b = rng.integers(0, 256, COUNT // 8), rng.integers(-(1 << 17), 1, COUNT // 8)
    c = np.array(drawn_integers(rng, 32, COUNT // 8))
    first = rng.random(len(a)) < 0.1
    first[0] = True
    inputs = {"a.0": a, "b.0": b, "c.0": c, "first": first}
    settings = {"kind": Integers.SUM_MAGNITUDES, "chain": 1}
    found = streamed(IntegerUnit(), inputs, ("result.0",), **settings, shift=fraction_bits)
    expected, total = [], 0
    for i in range(len(a)):
        total = int(FUNCTIONS[Op.SUM_MAGNITUDES](a[i], b[i], c[i] if first[i] else total, 0, fraction_bits))
        expected.append(total)
    same([value for (value,) in found], expected, a, b, c)
