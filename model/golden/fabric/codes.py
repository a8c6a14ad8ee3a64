"""Codes of the fabric's step: unsigned activations, signed errors and inputs, weights with a real zero.

An operand of a product is code times unit. Only weights have a zero that is not code 0; it is carried as an
18-bit integer `WeightCodes.zero`, so that one correction per column, ``zero * sum of the column's codes``,
makes a product of codes one of real weights. Padding is code 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.checks import LARGEST, MULTIPLIER_BITS, PRODUCT_BITS, fits, within

MAX_BITS = 16
"""Of a code. The machine's lanes take weights of up to 8 bits; more are for tests."""
FRACTION_BITS = 17
"""Weights of b bits have 17 - b fraction bits below their code."""
WEIGHT_FLOOR = np.float32(2.0**-30)
"""Smallest step of weights: an all-zero row has code 0, zero 0 and this step."""


_LIMITS = LARGEST << np.arange(PRODUCT_BITS - 16, dtype=np.int64)
"""Bounds up to which a shift of 0, 1, ... is enough."""


@dataclass(frozen=True)
class WeightCodes:
    """Rows of weights as the A operand of one product.

    Their real value is ``scale * (codes + zero / 2^(17-bits))``.
    """

    codes: np.ndarray
    """uint8 (uint16 beyond 8 bits), (rows, K), 0 .. 2^bits - 1."""
    zero: np.ndarray
    """int64 (rows,), 18 bits, at most 0: the real zero in steps, times 2^(17-bits)."""
    scale: np.ndarray
    """float32 (rows,): the step."""
    sums: np.ndarray
    """int64 (rows,), below 2^31 for K up to 2^14: sum over K of ``|(codes << (17-bits)) + zero|``."""
    bits: int

    @property
    def fraction_bits(self) -> int:
        """17 - bits: what a product is shifted up by before `zero` times the column sum is added."""
        return FRACTION_BITS - self.bits

    def shifts(self, largest: int) -> np.ndarray:
        """`drain_shift` of every row against columns of codes up to ``largest`` in magnitude."""
        return drain_shift(self.sums, largest)


def largest_activation(bits: int) -> int:
    """Highest code of an activation behind ReLU: 2^bits - 1; the lowest is 0."""
    return (1 << _bits("activations", bits, 1)) - 1


def largest_error(bits: int) -> int:
    """Highest magnitude of an error's or input's code: 2^(bits-1) - 1; codes are symmetric about 0."""
    return (1 << (_bits("errors and inputs", bits, 2) - 1)) - 1


def image_bits(bits: int) -> int:
    """Of images' codes at ``bits`` of weights and activations: they are signed, and have at least 2."""
    return max(bits, 2)


def code_type(bits: int, signed: bool) -> type[np.integer]:
    """numpy type that holds codes of ``bits``."""
    if bits <= 8:
        return np.int8 if signed else np.uint8
    return np.int16 if signed else np.uint16


def forward_rows(weight: np.ndarray) -> np.ndarray:
    """Weights (O, k, k, C) as rows of the forward product: (O, taps*C), tap first."""
    return weight.reshape(len(weight), -1)


def error_rows(weight: np.ndarray) -> np.ndarray:
    """Weights (O, k, k, C) as rows of dX: (C, taps*O), tap first; taps keep the forward kernel's numbers."""
    outputs, height, width, inputs = weight.shape
    by_input = weight.reshape(outputs, height * width, inputs).transpose(2, 1, 0)
    return np.ascontiguousarray(by_input.reshape(inputs, -1))


def weight_codes(rows: np.ndarray, bits: int, whole: bool = False) -> WeightCodes:
    """Codes of weights ``rows`` (rows, K), float32, each row over its own range extended to hold 0.

    Per row, float32: ``lo = min(row, 0)``, ``hi = max(row, 0)``, ``s = max((hi - lo) * fl(1/B), 2^-30)``,
    ``r = 1/s``; codes ``rint(min(max((w - lo) * r, 0), B))``; zero ``rint((lo * r) * 2^(17-bits))``, which is
    -(2^17 - 2^(17-bits)) .. 0, because the range holds 0. B = 2^bits - 1. Rounds halves to even.

    ``whole``: the zero is a code: ``lo = -(z*s)``, ``z = rint(-lo*r)`` (depth-wise layers: weights between
    the channels of a group are code z, and so exactly 0).
    """
    top = largest_activation(bits)
    zero = np.float32(0)
    low = np.minimum(rows.min(1), zero) + zero
    high = np.maximum(rows.max(1), zero) + zero
    step = np.maximum(fl.multiply(fl.subtract(high, low), fl.fraction(top)), WEIGHT_FLOOR)
    inverse = fl.reciprocal(step)
    if whole:
        code = fl.to_fixed(fl.multiply(low, inverse), 0, MULTIPLIER_BITS)
        low = fl.multiply(fl.from_integer(code), step)
    steps = fl.multiply(fl.subtract(rows, low[:, None]), inverse[:, None])
    codes = np.rint(np.clip(steps, zero, np.float32(top))).astype(code_type(bits, signed=False))
    fraction_bits = FRACTION_BITS - bits
    offset = fl.to_fixed(fl.multiply(low, inverse), fraction_bits, MULTIPLIER_BITS)
    within("zero of weights", offset, -(top << fraction_bits), 0)
    magnitudes = np.abs((codes.astype(np.int64) << fraction_bits) + offset[:, None])
    return WeightCodes(codes, offset, step, magnitudes.sum(1, dtype=np.int64), bits)


def drain_shift(sums: np.ndarray, largest: int) -> np.ndarray:
    """Per row, how far a drain shifts so that no result can saturate: int64, 0 .. 32.

    The smallest h with ``sums * largest <= 32767 * 2^h``: the bound that the row's weights alone give.
    """
    bound = fits("bound of a product", sums * largest, PRODUCT_BITS)
    return (bound[..., None] > _LIMITS).sum(-1, dtype=np.int64)


def _bits(what: str, bits: int, least: int) -> int:
    if not least <= bits <= MAX_BITS:
        raise ValueError(f"bits of {what} are {bits}; allowed: {least}..{MAX_BITS}")
    return bits
