"""Applies: integers of a channel times its coefficients, to codes or to the residual stream (F2, F3, B2).

Coefficients come from the channel unit (`channel`): 18-bit multipliers, 48-bit addends and a shift per
channel; lanes work on pixels of one channel, so all of them shift alike. Arrays are (..., channels), int16
in, codes or int16 out. An apply is one or two multiplications 18 x 25 into a 48-bit sum, a shift and a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.model.golden.fabric.checks import (
    LARGEST,
    MULTIPLIER_BITS,
    PRODUCT_BITS,
    fits,
    shift_rounded,
    within,
)
from cpt.model.golden.fabric.codes import code_type, largest_activation, largest_error
from cpt.model.golden.fabric.drain import MOST_SHIFT

MOST_ADDEND = 2**46
"""Magnitude at which the channel unit cuts addends: beyond it no product changes a result's sign."""
MIDDLE = 1 << 14
"""What stands for 0 in the residual stream behind a linear end, which has values of both signs."""
NOISE_BITS = 8
LEAST_NOISE_SHIFT = NOISE_BITS + 1
"""Of `error_apply`: noise still has a bit below its byte's last, which centres it."""


@dataclass(frozen=True)
class Affine:
    """Coefficients of an apply: value ``(multiplier*a + second*b + addend) / 2^shift``."""

    multiplier: np.ndarray
    """int64 (channels,), 18 bits."""
    addend: np.ndarray
    """int64 (channels,), at most 2^46 in magnitude."""
    shift: np.ndarray
    """int64 (channels,), 0 .. 30; in `error_apply` 9 .. 30."""
    second: np.ndarray | None = None
    """int64 (channels,), 18 bits: multiplier of the second operand."""


def affine(coefficients: Affine, first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """``multiplier*first + second*second + addend``, int64, 48 bits: what all applies begin with."""
    within("shift of an apply", coefficients.shift, 0, MOST_SHIFT)
    within("addend", coefficients.addend, -MOST_ADDEND, MOST_ADDEND)
    total = first * fits("multiplier", coefficients.multiplier, MULTIPLIER_BITS)
    if coefficients.second is not None and second is not None:
        total += second * fits("multiplier", coefficients.second, MULTIPLIER_BITS)
    total += coefficients.addend
    return fits("sum of an apply", total, PRODUCT_BITS)


def inner_apply(y: np.ndarray, coefficients: Affine, bits: int) -> np.ndarray:
    """F2: batch norm, ReLU and codes of a convolution's output, ``q = clip(rs(M*y + C, s), 0, B)``.

    uint8 (uint16 beyond 8 bits), shape of ``y``.
    """
    top = largest_activation(bits)
    codes = shift_rounded(affine(coefficients, y), coefficients.shift)
    return np.clip(codes, 0, top).astype(code_type(bits, signed=False))


def relu_mask(y: np.ndarray, coefficients: Affine) -> np.ndarray:
    """Where F2's ReLU passes, ``M*y + C > 0``: bool. Backward forms it again from y, nothing is stored.

    Not ``q > 0``: at 3 bits that would stop the gradient of half a code's width.
    """
    return affine(coefficients, y) > 0


def block_apply(
    y: np.ndarray, coefficients: Affine, x: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """F3: a block's end, ``x' = clip(rs(M*y + M2*x + C, s), 0, 32767)``.

    ``x``: the residual stream, or the shortcut's y; None where nothing joins (the stem). Returns x', int16;
    its largest value per channel, int64; and how many values the upper clip cut: none in training, where the
    unit comes from a bound. The mask of the ReLU is ``x' > 0``.
    """
    values = shift_rounded(affine(coefficients, y, x), coefficients.shift)
    out = np.clip(values, 0, LARGEST).astype(np.int16)
    highest = out.reshape(-1, out.shape[-1]).max(0).astype(np.int64)
    return out, highest, int(np.count_nonzero(values > LARGEST))


def code_apply(x: np.ndarray, multiplier: int, shift: int, bits: int) -> np.ndarray:
    """The second look at a block's end: codes of the residual stream, ``q = min(rs(M*x, s), B)``.

    One multiplier for all channels; the stream's maximum is known by now, so that it gets code B.
    """
    one, zero = np.asarray([multiplier], np.int64), np.zeros(1, np.int64)
    return inner_apply(x, Affine(one, zero, np.asarray([shift], np.int64)), bits)


def linear_apply(x: np.ndarray, coefficients: Affine, bits: int) -> np.ndarray:
    """The second look at a linear end: signed codes of the stream, ``q = clip(rs(M*x' + C, s), -E, E)``.

    With ``C = -M*MIDDLE``; to the lanes the same as `image_apply`.
    """
    return image_apply(x, coefficients, bits)


def error_apply(
    d: np.ndarray, y: np.ndarray, coefficients: Affine, noise: np.ndarray, bits: int
) -> np.ndarray:
    """B2: batch norm's backward and stochastic codes.

    ``e = clip((a*d + b*y + c + (u << (s-8))) >> s, -E, E)``. ``noise``: u, uint8, shape of ``d``
    (`hash.noise_bytes`); c holds 2^(s-9) more than the affine's addend, so that noise is 1/512 .. 511/512 of
    a code with mean 1/2: stochastic rounding. int8 (int16 beyond 8 bits).
    """
    top = largest_error(bits)
    within("shift of B2", coefficients.shift, LEAST_NOISE_SHIFT, MOST_SHIFT)
    value = affine(coefficients, d, y) + (noise.astype(np.int64) << (coefficients.shift - NOISE_BITS))
    codes = fits("sum of B2", value, PRODUCT_BITS) >> coefficients.shift
    return np.clip(codes, -top, top).astype(code_type(bits, signed=True))


def image_apply(images: np.ndarray, coefficients: Affine, bits: int) -> np.ndarray:
    """Codes of byte images (N, H, W, C), ``q = clip(rs(M*p + C, s), -E, E)``: standardised and symmetric.

    int8 (int16 beyond 8 bits).
    """
    top = largest_error(bits)
    codes = shift_rounded(affine(coefficients, images.astype(np.int64)), coefficients.shift)
    return np.clip(codes, -top, top).astype(code_type(bits, signed=True))
