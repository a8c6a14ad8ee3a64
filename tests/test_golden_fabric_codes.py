"""Codes of the fabric's step: weights with a real zero, bounds of their products, and products themselves."""

import numpy as np
import pytest

from cpt.model.golden import ConvGeometry
from cpt.model.golden.fabric import codes, drain, product
from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.checks import LARGEST, FabricOverflow

RNG = np.random.default_rng(11)


def awkward_rows(k=9):
    """Rows on which codes with a zero have failed: constant, one-sided, far from 0, tiny, huge, zero."""
    ramp = np.linspace(-1, 1, k)
    rows = [ramp, ramp + 5, ramp - 5, ramp * 0, ramp * 0 + 3, ramp * 0 - 3, ramp * 1e-12, ramp * 1e20]
    rows += [ramp * 1e-3 + 100, np.eye(k)[0], -np.eye(k)[0], *RNG.normal(0.33, 0.1, (4, k))]
    return np.array(rows, np.float32)


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_zero_fits_18_bits_whatever_the_row_and_codes_give_the_weights_back(bits):
    rows = awkward_rows()
    found = codes.weight_codes(rows, bits)
    top = 2**bits - 1
    assert found.codes.max() <= top
    assert found.zero.min() >= -(2**17) + 2 ** (17 - bits)
    assert found.zero.max() <= 0
    real = found.scale[:, None] * (found.codes + found.zero[:, None] / 2.0 ** (17 - bits))
    step = np.maximum(found.scale.astype(np.float64), 0)[:, None]
    room = 0.5 + 2.0 ** (bits - 18) + 2.0**-17 * top  # nearest code, rounding of the zero, of float32
    assert (np.abs(real - rows) <= step * room).all()


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_whole_zero_is_a_code_and_codes_give_the_weights_back(bits):
    rows = awkward_rows()
    found = codes.weight_codes(rows, bits, whole=True)
    places = -found.zero >> 17 - bits
    assert (places << 17 - bits == -found.zero).all()
    assert found.codes.max() <= 2**bits - 1
    assert 0 <= places.min() <= places.max() <= 2**bits - 1
    real = found.scale[:, None].astype(np.float64) * (found.codes.astype(int) - places[:, None])
    room = found.scale[:, None] * (1 + 2.0**-16 * 2**bits)  # half a step of the code, half of the zero
    assert (np.abs(real - rows) <= room).all()


@pytest.mark.parametrize("bits", [3, 8])
def test_words_of_a_whole_group_make_the_results_of_each_channel_alone(bits):
    group = 4
    weights = codes.weight_codes(RNG.normal(size=(group, 9)).astype(np.float32), bits, whole=True)
    columns = RNG.integers(-100, 100, (20, 9 * group))
    places = -weights.zero >> 17 - bits
    full = np.repeat(places[:, None, None], 9, 1).repeat(group, 2)
    for c in range(group):
        full[c, :, c] = weights.codes[c]
    values, sums = columns @ full.reshape(group, -1).T, columns.sum(1)
    array = drain.corrected_product(product.Product(values, sums), weights)
    alone = drain.corrected_product(product.depthwise_product(columns, weights), weights)
    assert (array == alone).all()


def test_the_zero_of_a_row_of_one_sign_is_code_0_or_the_highest():
    found = codes.weight_codes(np.array([[1, 2, 3], [-1, -2, -3]], np.float32), 4)
    assert found.zero.tolist() == [0, -(15 << 13)]
    assert found.codes.tolist() == [[5, 10, 15], [10, 5, 0]]


def test_an_all_zero_row_is_code_0_with_the_smallest_step():
    found = codes.weight_codes(np.zeros((1, 4), np.float32), 8)
    assert not found.codes.any()
    assert found.scale[0] == codes.WEIGHT_FLOOR
    assert found.sums[0] == 0


@pytest.mark.parametrize("bits", range(1, 17))
def test_no_weight_is_half_a_step_above_the_largest_code(bits):
    """So the machine leaves that limit out: `cpt.host.compiler.prepare`."""
    rng = np.random.default_rng(bits)
    scales = np.float32(2.0) ** rng.integers(-100, 100, (20_000, 1)).astype(np.float32)
    rows = (rng.standard_normal((20_000, 4)).astype(np.float32) + rng.integers(-3, 4, (20_000, 1))) * scales
    low, high = np.minimum(rows.min(1), 0), np.maximum(rows.max(1), 0)
    top = codes.largest_activation(bits)
    step = np.maximum(fl.multiply(fl.subtract(high, low), fl.fraction(top)), codes.WEIGHT_FLOOR)
    steps = fl.multiply(fl.subtract(high, low), fl.reciprocal(step))
    assert steps.max() < top + 0.4
    assert steps.max() >= top


def test_both_layouts_hold_the_same_weights():
    weight = RNG.normal(size=(3, 3, 3, 5)).astype(np.float32)
    forward, backward = codes.forward_rows(weight), codes.error_rows(weight)
    assert forward.shape == (3, 45)
    assert backward.shape == (5, 27)
    for o, tap, c in [(0, 0, 0), (2, 8, 4), (1, 5, 3)]:
        assert forward[o, tap * 5 + c] == weight[o, tap // 3, tap % 3, c] == backward[c, tap * 3 + o]


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_the_shift_is_the_smallest_that_the_worst_column_cannot_saturate(bits):
    rows = awkward_rows(27)
    found = codes.weight_codes(rows, bits)
    for largest in (1, 7, 127, 255):
        shift = found.shifts(largest)
        bound = found.sums * largest
        assert (bound <= LARGEST << shift).all()
        assert ((shift == 0) | (bound > LARGEST << np.maximum(shift - 1, 0))).all()


def test_bits_that_no_code_has_are_refused():
    with pytest.raises(ValueError, match=r"bits of activations are 0; allowed: 1\.\.16"):
        codes.largest_activation(0)
    with pytest.raises(ValueError, match=r"bits of errors and inputs are 1; allowed: 2\.\.16"):
        codes.largest_error(1)


def plain(image, weight, geometry):
    """The convolution of integers, by definition."""
    g = geometry
    padded = np.zeros((g.batch, g.height + 2 * g.padding, g.width + 2 * g.padding, g.in_channels), object)
    inside = (slice(None), slice(g.padding, g.padding + g.height), slice(g.padding, g.padding + g.width))
    padded[inside] = image
    out = np.zeros((g.batch, g.out_height, g.out_width, g.out_channels), object)
    for y in range(g.out_height):
        for x in range(g.out_width):
            window = padded[:, y * g.stride :, x * g.stride :][:, : g.kernel, : g.kernel]
            for o in range(g.out_channels):
                out[:, y, x, o] = (window * weight[o].astype(object)).reshape(g.batch, -1).sum(1)
    return out


SHAPES = [
    ConvGeometry(2, 5, 4, 3, 4),
    ConvGeometry(1, 6, 6, 2, 3, stride=2),
    ConvGeometry(2, 5, 5, 3, 2, kernel=1, stride=2, padding=0),
    ConvGeometry(1, 1, 1, 4, 2),
]


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
def test_products_and_column_sums_are_those_of_the_definition(geometry):
    g = geometry
    image = RNG.integers(0, 256, (g.batch, g.height, g.width, g.in_channels)).astype(np.uint8)
    weight = RNG.normal(size=(g.out_channels, g.kernel, g.kernel, g.in_channels)).astype(np.float32)
    coded = codes.weight_codes(codes.forward_rows(weight), 5)
    found = product.forward_product(product.windows(image, g), coded)
    shape = (g.batch, g.out_height, g.out_width, g.out_channels)
    taps = coded.codes.reshape(weight.shape)
    assert (found.values.reshape(shape) == plain(image, taps, g)).all()
    assert (found.sums.reshape(shape[:3]) == plain(image, np.ones_like(taps), g)[..., 0]).all()


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
def test_dx_and_dw_are_the_transposes_of_forward(geometry):
    """<e, conv(x)> = <x, dX(e)> = <w, dW(e, x)>, exactly, and pieces of K change nothing."""
    g = geometry
    image = RNG.integers(0, 256, (g.batch, g.height, g.width, g.in_channels)).astype(np.uint8)
    errors = RNG.integers(-127, 128, (g.batch, g.out_height, g.out_width, g.out_channels)).astype(np.int8)
    by_output = RNG.integers(0, 16, (g.out_channels, g.kernel, g.kernel, g.in_channels))
    some = np.zeros(1)
    ahead = codes.WeightCodes(codes.forward_rows(by_output).astype(np.uint8), some, some, some, 4)
    back = codes.WeightCodes(codes.error_rows(by_output).astype(np.uint8), some, some, some, 4)
    columns = product.windows(image, g)
    y = product.forward_product(columns, ahead).values
    want = (y.reshape(errors.shape).astype(object) * errors).sum()
    dx = product.error_product(errors, back, g).values.reshape(image.shape)
    assert (dx.astype(object) * image).sum() == want
    dw = product.weight_product(errors, columns)
    assert (dw.astype(object) * codes.forward_rows(by_output)).sum() == want
    for piece in (1, 3, 7):
        assert (product.weight_product(errors, columns, piece) == dw).all()


def test_dx_of_a_stride_2_sums_the_taps_of_each_phase_only():
    g = ConvGeometry(1, 6, 6, 1, 1, stride=2)
    one = codes.weight_codes(np.ones((1, 9), np.float32), 1)
    sums = product.error_product(np.ones((1, 3, 3, 1), np.int8), one, g).sums.reshape(6, 6)
    assert sums[:4, :4].tolist() == [[1, 2, 1, 2], [2, 4, 2, 4], [1, 2, 1, 2], [2, 4, 2, 4]]


def test_a_column_sum_beyond_25_bits_is_refused():
    columns = np.full((1, 257), 65535, np.uint16)
    coded = codes.weight_codes(np.ones((1, 257), np.float32), 1)
    with pytest.raises(FabricOverflow, match="column sum is 16842495"):
        product.forward_product(columns, coded)
