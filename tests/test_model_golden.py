"""The golden integer functions against direct float64 arithmetic on the dequantised values."""

import numpy as np
import pytest

from cpt.model.golden import (
    REFERENCE_FLOOR,
    ConvGeometry,
    conv_dw,
    conv_dx,
    conv_forward,
    dequantise,
    int_matmul,
    quantise,
)
from cpt.model.noise import noise_key, uniform

GEOMETRIES = [
    ConvGeometry(2, 5, 5, 3, 4, kernel=3, stride=1, padding=1),
    ConvGeometry(2, 8, 6, 3, 5, kernel=3, stride=2, padding=1),
    ConvGeometry(2, 7, 7, 2, 3, kernel=3, stride=2, padding=1),
    ConvGeometry(1, 6, 5, 4, 3, kernel=3, stride=1, padding=0),
    ConvGeometry(3, 6, 6, 5, 2, kernel=1, stride=2, padding=0),
    ConvGeometry(2, 7, 5, 3, 4, kernel=1, stride=1, padding=0),
    ConvGeometry(2, 1, 1, 6, 4, kernel=3, stride=2, padding=1),
    ConvGeometry(2, 1, 1, 6, 4, kernel=1, stride=1, padding=0),
]


def exact(q):
    return q.codes.astype(np.float64) * q.spread(q.scale).astype(np.float64) + q.spread(q.zero)


def direct(x, w, e, g):
    """Forward, dX and dW by loops over taps in float64."""
    padded = np.zeros((g.batch, g.height + 2 * g.padding, g.width + 2 * g.padding, g.in_channels))
    inner = slice(g.padding, g.padding + g.height), slice(g.padding, g.padding + g.width)
    padded[:, inner[0], inner[1]] = x
    y = np.zeros((g.batch, g.out_height, g.out_width, g.out_channels))
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(g.kernel):
        for j in range(g.kernel):
            rows = slice(i, i + g.stride * (g.out_height - 1) + 1, g.stride)
            cols = slice(j, j + g.stride * (g.out_width - 1) + 1, g.stride)
            y += padded[:, rows, cols] @ w[:, i, j].T
            dx[:, rows, cols] += e @ w[:, i, j]
            dw[:, i, j] = np.einsum("nhwo,nhwc->oc", e, padded[:, rows, cols])
    return y, dx[:, inner[0], inner[1]], dw


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
@pytest.mark.parametrize(("fw", "bw"), [(1, 1), (3, 8), (8, 8), (16, 16)])
def test_integer_passes_equal_direct_convolution_of_dequantised_values(g, fw, bw):
    rng = np.random.default_rng(g.height * 100 + fw)
    x = quantise(rng.normal(1.0, 1.0, (g.batch, g.height, g.width, g.in_channels)), fw)
    weights = rng.normal(0.3, 1.0, (g.out_channels, g.kernel, g.kernel, g.in_channels))
    w, w_dx = quantise(weights, fw, axis=0), quantise(weights, fw, axis=3)
    errors = rng.normal(-0.2, 1.0, (g.batch, g.out_height, g.out_width, g.out_channels))
    e = quantise(errors, bw, noise=uniform(noise_key(1, 2, 3), errors.size))
    y, _, dw = direct(exact(x), exact(w), exact(e), g)
    dx = direct(exact(x), exact(w_dx), exact(e), g)[1]
    for name, got, want in [
        ("forward", conv_forward(x, w, g), y),
        ("dx", conv_dx(e, w_dx, g), dx),
        ("dw", conv_dw(e, x, g), dw),
    ]:
        assert got.dtype == np.float32
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max(), err_msg=name)


@pytest.mark.parametrize("bits", range(1, 17))
def test_codes_follow_the_definition_at_every_width(bits):
    x = np.random.default_rng(bits).normal(size=(7, 11)).astype(np.float32)
    q = quantise(x, bits)
    levels = np.float32(2**bits - 1)
    scale = (x.max() - x.min()) / levels
    assert q.codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert np.array_equal(q.codes, np.rint((x - x.min()) / scale))
    assert q.codes.min() == 0
    assert q.codes.max() == 2**bits - 1
    assert np.abs(dequantise(q) - x).max() <= scale * 0.5001


def test_halves_round_to_even():
    q = quantise(np.array([0, 0.5, 1.5, 2.5, 3], np.float32), 2)
    assert q.codes.tolist() == [0, 0, 2, 2, 3]


def test_every_slice_along_an_axis_has_its_own_range():
    x = np.random.default_rng(0).normal(size=(4, 3, 3, 5)).astype(np.float32)
    for axis in (0, 3):
        q = quantise(x, 6, axis=axis)
        for index in range(x.shape[axis]):
            alone = quantise(x.take(index, axis), 6)
            assert np.array_equal(q.codes.take(index, axis), alone.codes)
            assert (q.scale[index], q.zero[index]) == (alone.scale, alone.zero)


def test_stochastic_rounding_is_unbiased_and_stays_in_range():
    x = np.full(200_000, 0.3, np.float32)
    x[:2] = 0, 255
    noise = uniform(noise_key(5, 0, 0), x.size)
    q = quantise(x, 8, noise=noise)
    assert set(np.unique(q.codes)) <= {0, 1, 255}
    assert abs(q.codes[2:].mean() - 0.3) < 0.005


def test_noise_never_passes_the_highest_code_of_sixteen_bits():
    x = np.array([0, 65535], np.float32)
    noise = np.array([-0.5, 0.49999994], np.float32)
    assert quantise(x, 16, noise=noise).codes.tolist() == [0, 65535]


def test_an_all_equal_tensor_gets_code_zero_and_its_value_back():
    q = quantise(np.full((3, 4), -7.25, np.float32), 8)
    assert not q.codes.any()
    assert (dequantise(q) == np.float32(-7.25)).all()


def test_small_gradients_keep_their_levels_unlike_under_the_reference_floor():
    x = np.linspace(-1e-9, 1e-9, 1000, dtype=np.float32)
    assert len(np.unique(quantise(x, 8).codes)) == 256
    assert len(np.unique(quantise(x, 8, floor=REFERENCE_FLOOR).codes)) == 1


@pytest.mark.parametrize("bits", [0, 17, -1])
def test_a_width_outside_one_to_sixteen_is_refused(bits):
    with pytest.raises(ValueError, match=rf"^bits is {bits}; allowed: 1\.\.16$"):
        quantise(np.zeros(3, np.float32), bits)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_without_a_finite_range_are_refused(value):
    with pytest.raises(ValueError, match="allowed: finite"):
        quantise(np.array([0, value], np.float32), 8)


@pytest.mark.parametrize("k", [258, 259, 700, 131_072])
def test_integer_product_is_exact_past_the_float32_bound(k):
    a, b = np.full((3, k), 255, np.uint8), np.full((2, k), 255, np.uint8)
    a[1, 0], b[1, -1] = 254, 1
    want = a.astype(np.int64) @ b.astype(np.int64).T
    got = int_matmul(a, b)
    assert got.dtype == np.int64
    assert np.array_equal(got, want)


def test_integer_product_takes_wide_and_signed_codes():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 65536, (5, 999)).astype(np.uint16)
    b = rng.integers(-32768, 32768, (4, 999)).astype(np.int16)
    assert np.array_equal(int_matmul(a, b), a.astype(np.int64) @ b.astype(np.int64).T)
