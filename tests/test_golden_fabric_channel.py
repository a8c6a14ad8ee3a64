"""The channel unit: what it makes of statistics, on ordinary channels and on those where float32 fails."""

import numpy as np
import pytest

from cpt.model.golden.fabric import apply, channel, drain
from cpt.model.golden.fabric.checks import LARGEST
from cpt.model.golden.fabric.codes import WeightCodes, largest_error

RNG = np.random.default_rng(9)
PIXELS = 4096


def f32(*values):
    return np.array(values, np.float32)


def channels():
    """y of hard channels: wide, narrow ones far from 0, constant, zero, two values, extremes."""
    wide = RNG.normal(0, 9000, PIXELS)
    columns = [
        wide,
        RNG.normal(30000, 3, PIXELS),
        RNG.normal(-20000, 1, PIXELS),
        np.full(PIXELS, 17),
        np.zeros(PIXELS),
        np.arange(PIXELS) == 5,
        np.where(np.arange(PIXELS) % 2, LARGEST, -LARGEST),
        RNG.normal(100, 800, PIXELS),
    ]
    return np.clip(np.rint(np.stack(columns, 1)), -LARGEST, LARGEST).astype(np.int16)


Y = channels()
COUNT = Y.shape[1]
UNIT = np.full(COUNT, 2.0**-11 * 1.3, np.float32)
GAMMA = np.linspace(0.5, -1.5, COUNT).astype(np.float32)
GAMMA[0] = 1
BETA = np.linspace(-0.5, 0.7, COUNT).astype(np.float32)


def norm_of(y=Y, unit=UNIT, gamma=GAMMA, beta=BETA):
    statistics = drain.forward_statistics(y)
    norm, mean, unbiased = channel.batch_norm(statistics, unit, gamma, beta)
    return statistics, norm, mean, unbiased


def real_output(y=Y, unit=UNIT, gamma=GAMMA, beta=BETA):
    """Batch norm in float64."""
    x = y * unit.astype(float)
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * gamma + beta


def test_mean_and_variance_survive_a_mean_of_ten_thousand_deviations():
    _, norm, mean, unbiased = norm_of()
    x = Y * UNIT.astype(float)
    assert np.allclose(mean, x.mean(0), rtol=1e-6)
    assert np.allclose(unbiased, x.var(0, ddof=1), rtol=1e-6)
    assert np.allclose(norm.inverse, 1 / np.sqrt(x.var(0) + 1e-5), rtol=1e-6)


def test_one_pixel_has_variance_0_and_no_unbiased_one_is_made_up():
    _, norm, mean, unbiased = norm_of(Y[:1])
    assert not unbiased.any()
    assert np.allclose(mean, Y[0] * UNIT.astype(float), rtol=1e-6)
    assert norm.mean.tolist() == Y[0].tolist()


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_codes_of_every_channel_are_the_nearest_or_one_beside(bits):
    statistics, norm, _, _ = norm_of()
    highest = np.max(channel.highest_output(norm, statistics))
    unit = channel.inner_unit(norm, highest, bits)
    found = apply.inner_apply(Y, channel.inner_coefficients(norm, unit), bits)
    top = 2**bits - 1
    want = np.clip(real_output() / float(unit), 0, top)
    assert (np.abs(found - want) < 0.6).all()
    assert found.max() == top


def test_an_exact_range_gives_the_largest_value_the_highest_code_and_cuts_nothing():
    statistics, norm, _, _ = norm_of()
    highest = np.max(channel.highest_output(norm, statistics))
    assert np.isclose(highest, real_output().max(), rtol=1e-5)


def test_a_channel_of_all_negative_outputs_gives_code_0_whatever_its_offset():
    _, norm, _, _ = norm_of(beta=np.full(COUNT, -1e6, np.float32))
    unit = channel.inner_unit(norm, np.float32(0), 8)
    relu = channel.inner_coefficients(norm, unit)
    assert not apply.inner_apply(Y, relu, 8).any()
    assert not apply.relu_mask(Y, relu).any()


def streams(unit, x, middle=0):
    """A block's stream of integers ``x``, which stand for ``(x - middle) * 2^unit``, as it joins."""
    ends = [of(0).astype(np.int64) - middle for of in (x.max, x.min)]
    return channel.stream_side(unit, *ends, middle), x, (x - float(middle)) * 2.0**unit


X = np.abs(Y[::-1]).copy()
LINEAR = (Y[::-1] // 2 + apply.MIDDLE).astype(np.int16)
SIDES = {
    "nothing": lambda: (None, None, 0),
    "stream": lambda: streams(-12, X),
    "shortcut": lambda: (channel.shortcut_side(norm_of(X)[1], norm_of(X)[0]), X, real_output(X)),
    "coarse stream": lambda: streams(3, X),
    "fine stream": lambda: streams(-40, X),
    "linear stream": lambda: streams(-12, LINEAR, apply.MIDDLE),
}


@pytest.mark.parametrize("side", SIDES)
def test_a_blocks_end_never_saturates_and_is_right_to_a_few_units(side):
    statistics, norm, _, _ = norm_of()
    joins, x, real = SIDES[side]()
    bound = channel.block_bound(channel.highest_output(norm, statistics), joins)
    exponent = channel.block_unit(bound, norm, joins)
    relu = channel.block_coefficients(norm, joins, exponent)
    found, highest, cut = apply.block_apply(Y, relu, x)
    assert cut == 0
    want = np.maximum(real_output() + real, 0)
    unit = 2.0**exponent
    # half a unit, and half a unit of the multipliers times their operands' distance from the mean
    reach = np.abs(Y - Y.mean(0)) + (0 if x is None else np.abs(x - np.asarray(joins.mean, float)))
    assert (np.abs(found * unit - want) <= unit * (0.75 + 0.5 * reach / 2.0**relu.shift)).all()
    assert highest.tolist() == found.max(0).tolist()
    top = highest.max() * unit
    code_unit = channel.stream_unit(np.float32(top), 8)
    codes = apply.code_apply(found, *channel.code_coefficients(code_unit, exponent), 8)
    assert codes.max() == 255
    assert (np.abs(codes - found / highest.max() * 255) < 0.51).all()


def test_the_unit_of_a_block_is_the_smallest_power_of_two_for_its_bound():
    for bound in (1.0, 0.9995, 32752 * 2.0**-15, np.nextafter(f32(32752 * 2.0**-15), f32(9))[0], 3e-5, 7e8):
        k = int(channel.power_of_two(np.float32(bound)))
        assert 32752 * 2.0**k >= np.float32(bound) > 32752 * 2.0 ** (k - 1)


def test_an_empty_stream_has_codes_0():
    zero = np.zeros((4, 2), np.int16)
    unit = channel.stream_unit(np.float32(0), 3)
    assert not apply.code_apply(zero, *channel.code_coefficients(unit, -20), 3).any()


def backward(d, unit, bits=8, y=Y, gamma=GAMMA):
    """(error codes in float64 before rounding, coefficients' result, float64 reference of the same)."""
    statistics, norm, _, _ = norm_of(y, gamma=gamma)
    errors = drain.error_statistics(d, y)
    found = channel.error_coefficients(norm, statistics, errors, unit, gamma, bits)
    x, g = y * UNIT.astype(float), d * unit.astype(float)
    inverse = 1 / np.sqrt(x.var(0) + 1e-5)
    hat = (x - x.mean(0)) * inverse
    want = gamma * inverse * (g - g.mean(0) - hat * (g * hat).mean(0))
    c = found.coefficients
    centred = c.addend - (1 << (c.shift - 9))
    value = (c.multiplier * d.astype(int) + c.second * y.astype(int) + centred) / 2.0**c.shift
    return value, found, want, (g * hat).sum(0), g.sum(0)


def errors_like(kind):
    shape = Y.shape
    return {
        "normal": np.rint(RNG.normal(0, 700, shape)),
        "sparse": np.where(RNG.random(shape) < 0.01, 20000, 0),
        "one channel": np.where(np.arange(shape[1]) == 7, np.rint(RNG.normal(0, 500, shape)), 0),
        "few bits": RNG.integers(-2, 3, shape),
        "constant": np.full(shape, 1234),
        "zero": np.zeros(shape),
        "like y": Y,
        "extremes": np.where(RNG.random(shape) < 0.5, LARGEST, -LARGEST),
    }[kind].astype(np.int16)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    "kind", ["normal", "sparse", "one channel", "few bits", "constant", "zero", "like y", "extremes"]
)
def test_batch_norms_backward_is_right_to_a_part_of_a_code_and_stays_within_the_codes(kind, bits):
    d, unit = errors_like(kind), np.full(COUNT, 2.0**-20, np.float32)
    value, found, want, d_gamma, d_beta = backward(d, unit, bits)
    assert np.allclose(found.d_beta, d_beta, rtol=1e-6)
    assert np.allclose(found.d_gamma, d_gamma, rtol=1e-5, atol=1e-6 * np.abs(d_gamma).max() + 1e-12)
    top = largest_error(bits)
    assert (np.abs(value) <= top + 0.75).all()
    scale = np.abs(want).max()
    assert (np.abs(value * float(found.unit) - want) <= 0.03 * float(found.unit) + 1e-5 * scale).all()


def test_the_range_of_errors_by_extremes_is_near_the_exact_one():
    y = np.rint(RNG.normal(0, 1500, (PIXELS, COUNT))).astype(np.int16)
    value, found, want, _, _ = backward(errors_like("normal"), np.full(COUNT, 2.0**-20, np.float32), y=y)
    assert np.abs(want).max() <= float(found.unit) * 127 <= np.abs(want).max() * 1.5
    del value


def test_a_dead_channel_with_a_coarse_unit_costs_the_others_nothing():
    d = errors_like("one channel")
    fine = np.full(COUNT, 2.0**-20, np.float32)
    coarse = np.where(np.arange(COUNT) == 7, fine, np.float32(1))
    _, found, _, _, _ = backward(d, fine)
    _, beside, _, _, _ = backward(d, coarse)
    assert found.unit == beside.unit


def rows(scale, sums):
    return WeightCodes(np.zeros((1, 1), np.uint8), np.zeros(1, np.int64), f32(scale), np.array([sums]), 8)


def test_a_streams_measured_maximum_decides_the_unit_of_a_blocks_gradient():
    """Not its unit: the same real gradient in a unit four times coarser gives the same unit."""

    def stream(d):
        return drain.error_statistics(np.array([[d]], np.int16))

    one = channel.block_error_coefficients(rows(1e-3, 4000), 8, f32(1e-6)[0], stream(32000), f32(2.0**-20))
    two = channel.block_error_coefficients(rows(1e-3, 4000), 8, f32(1e-6)[0], stream(8000), f32(2.0**-18))
    assert one[1] == two[1] == 2.0**-20


def test_pooling_spreads_a_gradient_to_half_a_unit():
    gradient = RNG.normal(size=(5, 3)).astype(np.float32) * f32(1e-3, 1, 0)
    codes, unit = channel.pool_gradient_codes(gradient, 49)
    assert (np.abs(codes * unit.astype(float) - gradient.astype(float) / 49) <= unit * 0.5001).all()
    assert (np.abs(codes[:, :2].astype(int)).max(0) > LARGEST // 4).all()


def test_micro_batches_move_a_running_average_as_far_as_one_batch():
    for count in (1, 2, 4, 8, 16):
        rate, value = channel.running_rate(count), f32(0)
        for _ in range(count):
            value = channel.running(value, f32(1), rate)
        assert abs(float(value[0]) - 0.1) < 1e-6
    assert channel.running_rate(1) == np.float32(0.1)
