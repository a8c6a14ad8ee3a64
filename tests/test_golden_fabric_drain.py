"""Drains of the fabric at their extremes: no width overflows, no result saturates, rounding is as stated."""

import numpy as np
import pytest

from cpt.model.golden.fabric import channel, codes, drain
from cpt.model.golden.fabric.checks import LARGEST, FabricOverflow
from cpt.model.golden.fabric.product import Product, forward_product

RNG = np.random.default_rng(3)


def worst_columns(weights, top, signed):
    """For each row the columns that drive its product furthest up and down, and all at the ends."""
    positive = (weights.codes.astype(np.int64) << weights.fraction_bits) + weights.zero[:, None] > 0
    low = -top if signed else 0
    up, down = np.where(positive, top, low), np.where(positive, low, top)
    ends = np.array([np.full(positive.shape[1], value) for value in (top, low)])
    return np.concatenate([up, down, ends]).astype(np.int16)


def rows_of(kind, rows=4, k=36):
    ramp = np.linspace(-1, 1, k)
    found = {
        "even": RNG.normal(size=(rows, k)),
        "equal": np.ones((rows, k)) * [[1], [-1], [1e-3], [0]],
        "one-sided": np.abs(RNG.normal(size=(rows, k))) * [[1], [-1], [1], [-1]] + [[3], [-3], [0], [0]],
        "one weight": np.eye(rows, k) - np.eye(rows, k, 5),
        "far apart": ramp * [[1e-6], [1], [1e6], [1e-12]],
    }[kind]
    return found.astype(np.float32)


KINDS = ["even", "equal", "one-sided", "one weight", "far apart"]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signed", [False, True])
def test_no_column_of_codes_saturates_a_drain_and_the_worst_one_uses_half_the_range(kind, bits, signed):
    weights = codes.weight_codes(rows_of(kind), bits)
    top = codes.largest_error(bits + 1) if signed else codes.largest_activation(bits)
    shift = weights.shifts(top)
    y, _ = drain.forward_drain(forward_product(worst_columns(weights, top, signed), weights), weights, shift)
    most = np.abs(y.astype(int)).max(0)
    assert (most[(shift > 0) & (kind != "one-sided")] >= LARGEST // 4).all()


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_y_is_the_product_of_real_weights_to_half_a_unit(bits):
    rows = rows_of("one-sided")
    weights = codes.weight_codes(rows, bits)
    columns = RNG.integers(0, 2**bits, (50, rows.shape[1])).astype(np.uint8)
    shift = weights.shifts(2**bits - 1)
    y, statistics = drain.forward_drain(forward_product(columns, weights), weights, shift)
    unit = channel.forward_unit(weights, shift, np.float32(0.25))
    real = weights.scale[:, None] * (weights.codes + weights.zero[:, None] / 2.0 ** (17 - bits))
    want = (columns * 0.25) @ real.T
    assert (np.abs(y * unit.astype(float) - want) <= unit * 0.5 + np.abs(want) * 1e-6).all()
    wide = y.astype(object)
    assert statistics.count == 50
    assert statistics.total.tolist() == wide.sum(0).tolist()
    assert statistics.squares.tolist() == (wide**2).sum(0).tolist()
    assert statistics.lowest.tolist() == y.min(0).tolist()
    assert statistics.highest.tolist() == y.max(0).tolist()


def test_a_drain_rounds_halves_up():
    weights = codes.WeightCodes(
        np.zeros((1, 1), np.uint8), np.zeros(1, np.int64), np.ones(1, np.float32), np.ones(1, np.int64), 8
    )
    product = Product(np.array([[1], [-1], [3], [-3]]), np.zeros(4, np.int64))
    y, _ = drain.forward_drain(product, weights, np.array([10]))  # R = 512 * P, so y = rs(P, 1)
    assert y.ravel().tolist() == [1, 0, 2, -1]


def test_a_shift_that_is_too_small_raises_and_does_not_wrap():
    weights = codes.weight_codes(rows_of("even"), 8)
    product = forward_product(worst_columns(weights, 255, False), weights)
    with pytest.raises(FabricOverflow, match="y saturates"):
        drain.forward_drain(product, weights, weights.shifts(255) - 2)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_sums_of_squares_hold_131072_pixels_at_the_extreme_and_one_more_is_refused(value):
    y = np.full((2**17, 1), value, np.int16)
    found = drain.forward_statistics(y)
    assert found.squares[0] == LARGEST**2 * 2**17
    assert drain.error_statistics(y, -y).with_y[0] == -(LARGEST**2) * 2**17
    for statistics in (drain.forward_statistics, drain.error_statistics):
        with pytest.raises(FabricOverflow, match=r"pixels of a channel are 131073; allowed: 1\.\.131072"):
            statistics(np.concatenate([y, y[:1]]))


def test_b1_is_masked_before_its_statistics():
    weights = codes.weight_codes(rows_of("even"), 4)
    columns = RNG.integers(-127, 128, (64, 36)).astype(np.int8)
    product = forward_product(columns, weights)
    mask = RNG.random((64, 4)) < 0.4
    y = RNG.integers(-LARGEST, LARGEST + 1, (64, 4)).astype(np.int16)
    free, _ = drain.inner_error_drain(product, weights, weights.shifts(127))
    d, statistics = drain.inner_error_drain(product, weights, weights.shifts(127), mask, y)
    assert (d == free * mask).all()
    assert statistics.total.tolist() == d.sum(0, dtype=int).tolist()
    assert statistics.with_y.tolist() == (d.astype(object) * y).sum(0).tolist()
    assert statistics.largest.tolist() == np.abs(d.astype(int)).max(0).tolist()


def block(kind, bits, stream, error_unit=2.0**-12, stream_units=None, errors=8):
    """B3 with the worst columns of ``kind`` and a stream: (g, real g, unit)."""
    weights = codes.weight_codes(rows_of(kind), bits)
    top = codes.largest_error(errors)
    columns = worst_columns(weights, top, True)
    product = forward_product(columns, weights)
    stream = np.resize(stream, (len(columns), 4)).astype(np.int16)
    units = np.asarray([2.0**-9] * 4 if stream_units is None else stream_units, np.float32)
    joined = drain.error_statistics(stream)
    coefficients, unit = channel.block_error_coefficients(
        weights, errors, np.float32(error_unit), joined, units
    )
    g, _ = drain.block_error_drain(product, weights, coefficients, stream, np.ones(stream.shape, bool))
    exact = drain.corrected_product(product, weights) * (
        weights.scale.astype(float) * error_unit * 2.0**-weights.fraction_bits
    )
    return g, exact + stream * units.astype(float), unit.astype(float)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", ["zero", "one", "extreme", "alternating"])
@pytest.mark.parametrize("error_unit", [2.0**-50, 2.0**-12, 2.0**4])
def test_b3_adds_the_stream_to_one_or_two_units_and_never_saturates(kind, bits, stream, error_unit):
    values = {"zero": [0], "one": [1], "extreme": [LARGEST], "alternating": [LARGEST, -LARGEST, 3]}[stream]
    g, real, unit = block(kind, bits, values, error_unit)
    assert (np.abs(g * unit - real) <= unit * 2).all()


def test_the_unit_of_b3_follows_the_measured_maximum_and_not_the_previous_unit():
    """A block whose convolutions give nothing leaves small streams their precision, again and again."""
    units = np.full(4, 2.0**-9)
    for _ in range(20):
        g, real, found = block("far apart", 8, [100, -57, 3], 2.0**-50, units)
        assert (np.abs(g * found - real) <= found).all()
        assert (found <= units).all()


def test_b3_without_a_stream_is_the_drained_product_in_another_unit():
    weights = codes.weight_codes(rows_of("even"), 8)
    product = forward_product(worst_columns(weights, 127, True), weights)
    coefficients, unit = channel.block_error_coefficients(weights, 8, np.float32(0.5), None, None)
    g, _ = drain.block_error_drain(product, weights, coefficients, None, np.ones(product.values.shape, bool))
    d, _ = drain.inner_error_drain(product, weights, weights.shifts(127))
    d_unit = channel.forward_unit(weights, weights.shifts(127), np.float32(0.5))
    assert (np.abs(g * unit.astype(float) - d * d_unit.astype(float)) <= unit + d_unit).all()
