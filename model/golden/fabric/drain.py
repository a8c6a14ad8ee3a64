"""Drains: what the lanes make of a product while it leaves the matrix unit (F1, B1, B3).

Every drain begins with ``R = (P << (17-b)) + zero * S`` (b bits of weights, S the column sum): the product
with real weights, in units of ``scale * unit of the column / 2^(17-b)``. Arrays are (pixels, channels);
channels are the rows of weights. Statistics are taken on the way: they are what batch norm and ranges need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.model.golden.fabric.checks import (
    LANE_BITS,
    MOST_PIXELS,
    MULTIPLIER_BITS,
    OPERAND_BITS,
    PRODUCT_BITS,
    FabricOverflow,
    fits,
    saturate,
    shift_rounded,
    within,
)
from cpt.model.golden.fabric.codes import WeightCodes
from cpt.model.golden.fabric.product import Product

WIDE_BITS = 8
"""Fraction bits that `block_error_drain` keeps below a drained error: it is 24 bits wide there."""
MOST_SHIFT = 30
"""Of the coefficients of an apply or of `block_error_drain`."""


@dataclass(frozen=True)
class ForwardStatistics:
    """Of the outputs y of one convolution in one micro-batch, per channel, int64."""

    count: int
    """Pixels: at most 131,072."""
    total: np.ndarray
    """Sum of y: 33 bits."""
    squares: np.ndarray
    """Sum of y*y: 48 bits."""
    lowest: np.ndarray
    highest: np.ndarray


@dataclass(frozen=True)
class ErrorStatistics:
    """Of the errors d of one convolution's output in one micro-batch, per channel, int64."""

    total: np.ndarray
    """Sum of d: 33 bits."""
    with_y: np.ndarray
    """Sum of d*y: 48 bits."""
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude of d, int64."""
        return np.maximum(self.highest, -self.lowest)


@dataclass(frozen=True)
class BlockErrorCoefficients:
    """What `block_error_drain` multiplies with, per channel, int64 (`channel.block_error_coefficients`)."""

    shift: np.ndarray
    """Of the product, 0 .. 32: `WeightCodes.shifts`."""
    product: np.ndarray
    """18 bits: multiplier of the drained product."""
    stream: np.ndarray | None
    """18 bits: multiplier of the gradient that joins; None where none does."""
    total_shift: np.ndarray
    """0 .. 30: of both multipliers; the 8 fraction bits of both operands come on top."""


def corrected_product(product: Product, weights: WeightCodes) -> np.ndarray:
    """``R = (P << (17-b)) + zero * S``: int64 (pixels, channels), 48 bits; one multiplication 18 x 25."""
    fits("product", product.values, PRODUCT_BITS - weights.fraction_bits)
    fits("zero of weights", weights.zero, MULTIPLIER_BITS)
    fits("column sum", product.sums, OPERAND_BITS)
    shifted = product.values << weights.fraction_bits
    sums = product.sums if product.sums.ndim > 1 else product.sums[:, None]
    return fits("R", shifted + weights.zero * sums, PRODUCT_BITS)


def forward_drain(
    product: Product, weights: WeightCodes, shift: np.ndarray
) -> tuple[np.ndarray, ForwardStatistics]:
    """F1: ``y = rs(R, h)``, int16 (pixels, channels), and its statistics.

    ``shift``: h per channel, from `WeightCodes.shifts`, so that no y can saturate; one that does raises. Two
    multiplications an element: ``zero * S`` and ``y * y``. Raises beyond 131,072 pixels.
    """
    y = _drained("y", shift_rounded(corrected_product(product, weights), shift))
    return y, forward_statistics(y)


def forward_statistics(y: np.ndarray) -> ForwardStatistics:
    """Statistics of y (pixels, channels): what a drain counts."""
    if not 1 <= len(y) <= MOST_PIXELS:
        raise FabricOverflow(f"pixels of a channel are {len(y)}; allowed: 1..{MOST_PIXELS} in a micro-batch")
    wide = y.astype(np.int32)
    total = y.sum(0, dtype=np.int64)
    squares = fits("sum of squares", (wide * wide).sum(0, dtype=np.int64), PRODUCT_BITS)
    return ForwardStatistics(len(y), total, squares, y.min(0).astype(np.int64), y.max(0).astype(np.int64))


def inner_error_drain(
    product: Product,
    weights: WeightCodes,
    shift: np.ndarray,
    mask: np.ndarray | None = None,
    y: np.ndarray | None = None,
) -> tuple[np.ndarray, ErrorStatistics]:
    """B1: ``d = mask * rs(R, h)``, int16 (pixels, channels), and its statistics beside ``y``.

    ``mask``: bool, where the ReLU that the forward pass went through let values pass (`apply.relu_mask`).
    Without mask and y it drains the dX of a shortcut, which `block_error_drain` takes as its stream.
    """
    d = _drained("d", shift_rounded(corrected_product(product, weights), shift))
    if mask is not None:
        d = d * mask
    return d, error_statistics(d, y)


def block_error_drain(
    product: Product,
    weights: WeightCodes,
    coefficients: BlockErrorCoefficients,
    stream: np.ndarray | None,
    mask: np.ndarray,
    y: np.ndarray | None = None,
) -> tuple[np.ndarray, ErrorStatistics]:
    """B3: the gradient of a block's input, int16 (pixels, channels), and its statistics.

    ``g' = mask * rs(t*m1 + (g << 8)*m2, s + 8)``, where ``t = rs(R << 8, h)``, 24 bits, is the drained
    product with 8 fraction bits; ``stream`` g, int16 (pixels, channels), is the gradient that reaches the
    input past the block's convolutions: the block's own (identity) or `inner_error_drain` of the shortcut.
    ``mask``: bool, where the block's input is above 0. ``y``: of the convolution before. Three
    multiplications an element and one for the statistics. The unit of g' follows from the bound of the
    product and the *measured* maximum of g, so that nothing can saturate; what does raises.
    """
    within("shift of B3", coefficients.total_shift, 0, MOST_SHIFT)
    wide = shift_rounded(corrected_product(product, weights) << WIDE_BITS, coefficients.shift)
    fits("drained product of B3", wide, LANE_BITS + WIDE_BITS)
    total = wide * fits("multiplier of B3", coefficients.product, MULTIPLIER_BITS)
    if coefficients.stream is not None and stream is not None:
        multiplier = fits("multiplier of B3", coefficients.stream, MULTIPLIER_BITS)
        total += (stream.astype(np.int64) << WIDE_BITS) * multiplier
    fits("sum of B3", total, PRODUCT_BITS)
    g = _drained("g", shift_rounded(total, coefficients.total_shift + WIDE_BITS)) * mask
    return g, error_statistics(g, y)


def error_statistics(d: np.ndarray, y: np.ndarray | None = None) -> ErrorStatistics:
    """Statistics of errors d beside outputs y, int16 (pixels, channels); without y, sums with it are 0."""
    if not 1 <= len(d) <= MOST_PIXELS:
        raise FabricOverflow(f"pixels of a channel are {len(d)}; allowed: 1..{MOST_PIXELS} in a micro-batch")
    total = d.sum(0, dtype=np.int64)
    with_y = np.zeros_like(total)
    if y is not None:
        with_y = (d.astype(np.int32) * y).sum(0, dtype=np.int64)
    fits("sum of d*y", with_y, PRODUCT_BITS)
    return ErrorStatistics(total, with_y, d.min(0).astype(np.int64), d.max(0).astype(np.int64))


def _drained(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` as int16; a lane would clip and count, here a clip raises: the bounds exclude it."""
    clipped, count = saturate(values)
    if count:
        raise FabricOverflow(f"{name} saturates {count} times; allowed: 0, the shift bounds it")
    return clipped
