"""Applies of the fabric: rounding, clips, masks, noise, and widths at their extremes."""

import numpy as np
import pytest

from cpt.model.golden.fabric import apply, pool
from cpt.model.golden.fabric.apply import MOST_ADDEND, Affine
from cpt.model.golden.fabric.checks import LARGEST, FabricOverflow

EXTREMES = np.array([[-LARGEST], [-1], [0], [1], [LARGEST]], np.int16)


def coefficients(multiplier, addend, shift, second=None):
    one = [None if value is None else np.array([value]) for value in (multiplier, addend, shift, second)]
    return Affine(*one)


def test_codes_are_rounded_halves_up_and_clipped():
    y = np.array([[-512], [-257], [-256], [255], [256], [257], [767], [768], [32767]], np.int16)
    found = apply.inner_apply(y, coefficients(1, 0, 9), 4)
    assert found.ravel().tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 15]
    assert found.dtype == np.uint8
    assert apply.inner_apply(y, coefficients(100, 0, 9), 10).dtype == np.uint16


def test_the_mask_passes_what_rounds_to_code_0_but_is_above_0():
    y = np.array([[-1], [0], [1], [600]], np.int16)
    one = coefficients(1, 0, 9)
    assert apply.inner_apply(y, one, 3).ravel().tolist() == [0, 0, 0, 1]
    assert apply.relu_mask(y, one).ravel().tolist() == [False, False, True, True]
    assert apply.relu_mask(y, coefficients(-1, 0, 9)).ravel().tolist() == [True, False, False, False]


@pytest.mark.parametrize("multiplier", [-(2**17), 2**17 - 1])
@pytest.mark.parametrize("addend", [-MOST_ADDEND, MOST_ADDEND])
def test_the_widest_coefficients_on_the_widest_operands_fit(multiplier, addend):
    one = coefficients(multiplier, addend, 9, multiplier)
    found, _, _ = apply.block_apply(EXTREMES, one, EXTREMES)
    want = [(2 * multiplier * int(y) + addend + 256) >> 9 for y in EXTREMES.ravel()]
    assert found.ravel().tolist() == [min(max(w, 0), LARGEST) for w in want]
    noise = np.full(EXTREMES.shape, 255, np.uint8)
    errors = apply.error_apply(EXTREMES, EXTREMES, coefficients(multiplier, addend, 30, multiplier), noise, 8)
    want = [(2 * multiplier * int(y) + addend + (255 << 22)) >> 30 for y in EXTREMES.ravel()]
    assert errors.ravel().tolist() == [min(max(w, -127), 127) for w in want]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (coefficients(2**17, 0, 9), r"multiplier is 131072\.\.131072; allowed: 18 bits"),
        (coefficients(1, 2 * MOST_ADDEND, 9), "addend is"),
        (coefficients(1, 0, -1), r"shift of an apply is -1\.\.-1; allowed: 0\.\.30"),
        (coefficients(1, 0, 31), r"shift of an apply is 31\.\.31"),
    ],
)
def test_coefficients_that_no_lane_holds_are_refused(wrong, complaint):
    for operation in (apply.inner_apply, apply.relu_mask):
        with pytest.raises(FabricOverflow, match=complaint):
            operation(EXTREMES, wrong, *([8] if operation is apply.inner_apply else []))


def test_a_blocks_end_adds_the_stream_keeps_its_maximum_and_counts_what_it_cuts():
    y = np.array([[100, -5], [300, 5], [-400, 0]], np.int16)
    x = np.array([[1, 2], [32767, 4], [399, 0]], np.int16)
    both = Affine(np.array([512, 1024]), np.array([512, 0]), np.array([9, 9]), np.array([512, 512]))
    found, highest, cut = apply.block_apply(y, both, x)
    assert found.tolist() == [[102, 0], [32767, 14], [0, 0]]
    assert highest.tolist() == [32767, 14]
    assert cut == 1
    assert apply.block_apply(y, Affine(both.multiplier, both.addend, both.shift))[0].tolist() == [
        [101, 0],
        [301, 10],
        [0, 0],
    ]


def test_the_second_look_gives_the_maximum_the_highest_code():
    x = np.array([[0], [3], [1000], [5000]], np.int16)
    assert apply.code_apply(x, round(255 / 5000 * 2**20), 20, 8).ravel().tolist() == [0, 0, 51, 255]


def test_noise_rounds_up_as_often_as_the_fraction_says():
    """Each of the 256 noise bytes once: a value k/256 of a code above n is n + 1 k times."""
    noise = np.arange(256, dtype=np.uint8)[:, None]
    for shift in (9, 20, 30):
        for k in (0, 1, 100, 255):
            addend = (5 << shift) + (k << (shift - 8)) + (1 << (shift - 9))
            zero = np.zeros((256, 1), np.int16)
            found = apply.error_apply(zero, zero, coefficients(1, addend, shift, 1), noise, 8)
            assert (found == 6).sum() == k
            assert (found == 5).sum() == 256 - k
            down = apply.error_apply(
                zero, zero, coefficients(1, -addend + (2 << (shift - 9)), shift, 1), noise, 8
            )
            assert down.sum() == -found.sum()  # symmetric: no drift


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_errors_are_clipped_to_symmetric_codes(bits):
    noise = np.zeros(EXTREMES.shape, np.uint8)
    found = apply.error_apply(EXTREMES, EXTREMES, coefficients(2**17 - 1, 0, 9, 0), noise, bits)
    top = 2 ** (bits - 1) - 1
    assert found.ravel().tolist() == [-top, -top, 0, top, top]
    assert found.dtype == np.int8


def test_images_become_symmetric_codes():
    image = np.array([[[[0], [128], [255]]]], np.uint8)
    found = apply.image_apply(image, coefficients(round(2**16 / 18.2), round(-127.5 * 2**16 / 18.2), 16), 4)
    assert found.ravel().tolist() == [-7, 0, 7]


def test_pooling_sums_each_image_and_spreads_its_gradient_where_the_stream_was_above_0():
    x = np.full((2, 4, 4, 3), LARGEST, np.int16)
    x[1, 0, 0] = 0
    assert pool.pool_sums(x).tolist() == [[16 * LARGEST] * 3, [15 * LARGEST] * 3]
    gradient = np.array([[1, -2, LARGEST], [4, 5, -LARGEST]], np.int16)
    found = pool.pool_gradient(gradient, x > 0)
    assert found[1, 0, 0].tolist() == [0, 0, 0]
    assert found[1, 0, 1].tolist() == [4, 5, -LARGEST]
    assert found[0, 3, 3].tolist() == [1, -2, LARGEST]
