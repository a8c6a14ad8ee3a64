"""The channel unit's float32 operations. Everything per channel and per weight is made of these.

Each operation rounds once, to nearest, halves to even. There is no fused multiply-add: `multiply_add` rounds
twice. The unit has no small numbers: a result below 2^-125 in magnitude becomes +0, and there is no -0.
(2^-125 and not 2^-126: one binade above the subnormals rounding with and without them agrees.) An operand
below 2^-126, which only the host can bring, counts as 0; comparisons take it as it is. Reciprocal and
reciprocal root are correctly rounded, however a circuit finds them: a quotient or root of 25 digits and its
remainder decide the last bit, digit by digit or by Newton steps on a table and a correction. Infinities and
NaN raise.

Values are float32 arrays or scalars; integers are int64, or Python's beyond 63 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cpt.model.arithmetic import divide
from cpt.model.arithmetic import reciprocal_root as root_of
from cpt.model.golden.fabric.checks import MULTIPLIER_BITS, PRODUCT_BITS, FabricOverflow, fits

SMALLEST = np.float32(2.0**-125)
"""Smaller magnitudes are 0."""
_ZERO = np.float32(0)
_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_NORMAL = np.float32(2.0**-126)
_ONE = np.uint32(1)
_DOUBLED_SUBNORMALS = np.uint32(0x00FF_FFFF)
"""Twice the largest subnormal's bits, and one more."""
_SMALLEST_BITS = SMALLEST.view(np.uint32)
_NORMAL_BITS = np.float32(np.inf).view(np.uint32) - _SMALLEST_BITS
_MOST_MULTIPLIER = 2 ** (MULTIPLIER_BITS - 1) - 1
_LONGEST = 53
"""Bits that a float64 holds exactly."""
_EXACT = 2**_LONGEST - 1

Value = np.ndarray | np.floating[Any]
"""float32, an array of any shape or a number."""


def settled(name: str, values: Value) -> np.ndarray:
    """``values`` as the unit leaves them: small ones and -0 become +0; raises if one is not finite."""
    values = np.asarray(values, np.float32)
    # one unsigned comparison finds magnitudes below the smallest and beyond the largest alike
    distance = (values.reshape(-1).view(np.uint32) & _MAGNITUDE) - _SMALLEST_BITS
    if not np.count_nonzero(distance >= _NORMAL_BITS):
        return values
    if not np.isfinite(values).all():
        raise FabricOverflow(f"{name} is not finite; allowed: float32 up to 3.4e38")
    return np.where(np.abs(values) < SMALLEST, _ZERO, values)


def operand(values: Value) -> Value:
    """``values`` as operations take them: 0 for those below 2^-126."""
    if isinstance(values, np.float32):
        return _ZERO if abs(values) < _NORMAL else values
    values = np.asarray(values, np.float32)
    # doubled bits less one: those of 0 become the largest, those of small numbers stay the smallest
    found = (values.reshape(-1).view(np.uint32) << _ONE) - _ONE
    if not found.size or np.minimum.reduce(found) >= _DOUBLED_SUBNORMALS:
        return values
    return np.where((found < _DOUBLED_SUBNORMALS).reshape(values.shape), _ZERO, values)


def add(left: Value, right: Value) -> np.ndarray:
    """``fl(left + right)``."""
    return settled("sum", np.add(operand(left), operand(right)))


def subtract(left: Value, right: Value) -> np.ndarray:
    """``fl(left - right)``."""
    return settled("difference", np.subtract(operand(left), operand(right)))


def multiply(left: Value, right: Value) -> np.ndarray:
    """``fl(left * right)``."""
    return settled("product", np.multiply(operand(left), operand(right)))


def multiply_add(left: Value, right: Value, addend: Value) -> np.ndarray:
    """``fl(fl(left * right) + addend)``: two roundings."""
    return add(multiply(left, right), addend)


def reciprocal(x: Value) -> np.ndarray:
    """``fl(1 / x)``, correctly rounded."""
    with np.errstate(divide="ignore", over="ignore"):
        return settled("reciprocal", divide(np.ones(1, np.float32), operand(x)).reshape(np.shape(x)))


def reciprocal_root(x: Value) -> np.ndarray:
    """``fl(1 / sqrt(x))`` for x > 0, correctly rounded.

    In numpy by way of float64; that this is the correctly rounded value was checked for every mantissa.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return settled("reciprocal root", root_of(np.asarray(operand(x))))


def scale(x: Value, exponent: np.ndarray | int) -> np.ndarray:
    """``x * 2^exponent``: an addition to the exponent, exact."""
    return settled("scaled value", np.ldexp(operand(x), np.asarray(exponent, np.int32)))


def exponent(x: Value) -> np.ndarray:
    """``floor(log2 |x|)``, the exponent field, int64; of 0, the unit's lowest, -126."""
    x = operand(x)
    found = np.frexp(np.abs(x))[1].astype(np.int64) - 1
    return np.where(x == 0, np.int64(-126), found)


def from_integer(values: np.ndarray) -> np.ndarray:
    """float32 nearest to integers (halves to even), int64 or, beyond 63 bits, Python's in an object array."""
    if values.dtype == object:
        whole = values.ravel().tolist()
        if all(-_EXACT <= value <= _EXACT for value in whole):
            return from_integer(values.astype(np.int64))
        exact = [_short(int(value)) for value in whole]
        return settled("converted", np.array(exact, np.float64).reshape(values.shape).astype(np.float32))
    if values.size and int(np.abs(values).max()) >> _LONGEST:
        return from_integer(values.astype(object))
    return settled("converted", values.astype(np.float64).astype(np.float32))


def to_fixed(x: Value, shift: np.ndarray | int, bits: int = PRODUCT_BITS) -> np.ndarray:
    """``rint(x * 2^shift)``, halves to even, int64; raises unless it fits ``bits``, signed."""
    scaled = np.rint(np.ldexp(np.asarray(x, np.float64), np.asarray(shift, np.int32)))
    if scaled.size and float(np.abs(scaled).max()) >= 2.0**62:
        raise FabricOverflow(f"fixed-point value is {float(np.abs(scaled).max()):g}; allowed: {bits} bits")
    return fits("fixed-point value", scaled.astype(np.int64), bits)


def to_multiplier(x: Value, shift: np.ndarray | int) -> np.ndarray:
    """``rint(x * 2^shift)`` as an 18-bit multiplier, int64; beyond +-131,071 it stays there."""
    scaled = np.rint(np.ldexp(np.asarray(x, np.float64), np.asarray(shift, np.int32)))
    return np.clip(scaled, -_MOST_MULTIPLIER, _MOST_MULTIPLIER).astype(np.int64)


def fraction(largest: int) -> np.float32:
    """``fl(1 / largest)`` of a whole number: a constant of the program."""
    return np.float32(1 / largest)


def _short(value: int) -> float:
    """float64 that rounds to the same float32 as ``value``: its 53 upper bits, the last one sticky."""
    extra = max(abs(value).bit_length() - _LONGEST, 0)
    magnitude = abs(value) >> extra
    if magnitude << extra != abs(value):
        magnitude |= 1
    return float(magnitude << extra) * (-1 if value < 0 else 1)
