"""Arithmetic whose every bit is stated: the same on every processor, under every numpy and every BLAS.

IEEE fixes the last bit of ``+ - * /`` and of the square root, of nothing else: a library's ``exp`` differs
from the next one's, and a matrix product or ``np.sum`` adds in an order that follows the width of the
registers. So what decides weights uses numpy element by element, adds with `sum_in_halves`, and takes these
functions.
Source: docs/numerics.md, "The same bits on every machine".
"""

from __future__ import annotations

import math

import numpy as np

_LOG2_E, _LN2_HIGH, _LN2_LOW = (np.float32(value) for value in (1.44269504, 0.693359375, -2.12194440e-4))
"""ln 2 in two parts: the first has 9 bits, so that its product with an exponent is exact."""
_ROOT_HALF = np.float32(0.7071067812)
_SMALLEST_EXPONENT = np.float32(-87)
"""exp of anything below is 0: the next power of two would not be a normal float32."""
_EXP_TERMS = tuple(np.float32(1 / math.factorial(n)) for n in range(7, -1, -1))
_LOG_TERMS = tuple(np.float32(2 / n) for n in (11, 9, 7, 5, 3, 1))
_COS_TERMS = tuple((-1) ** n / math.factorial(2 * n) for n in range(9, -1, -1))
_SIN_TERMS = tuple((-1) ** n / math.factorial(2 * n + 1) for n in range(8, -1, -1))
_DECAY_TERMS = tuple(1 / math.factorial(n) for n in range(13, -1, -1))
_LN2_UPPER, _LN2_LOWER = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
"""ln 2 in two float64 parts: the first has 32 bits."""
_HALF_PI_LOW = 6.123233995736766e-17
"""What pi/2 has beyond its float64."""


def sum_in_halves(terms: np.ndarray, *, overwrite: bool = False) -> np.ndarray:
    """Sum over axis 0 of ``terms`` (n, ...): the second half is added to the first until one is left.

    ``t[i] += t[i + h]`` with ``h = ceil(n/2)``, then the same with the first ``h``; where n is odd the middle
    term waits for the next round. Rounds to the terms' type at each addition. ``overwrite``: the terms are
    scratch.
    """
    count = len(terms)
    if count == 0:
        return np.zeros(terms.shape[1:], terms.dtype)
    half = (count + 1) // 2
    total = terms[:half] if overwrite else np.array(terms[:half], order="C")
    total[: count - half] += terms[half:]
    while half > 1:
        count, half = half, (half + 1) // 2
        total[: count - half] += total[half:count]
    return total[0]


def divide(left: np.ndarray, right: np.ndarray | np.float32, out: np.ndarray | None = None) -> np.ndarray:
    """``left / right``, float32, correctly rounded, into ``out`` if given.

    NEON on 32-bit Arm only approximates the quotient; there it is formed in float64 and rounded, which gives
    the same bits.
    """
    if _DIVIDES_EXACTLY:
        return np.asarray(np.divide(left, right, out=out))
    quotient = np.divide(left, right, dtype=np.float64)
    if out is None:
        return np.asarray(quotient, np.float32)
    np.copyto(out, quotient, casting="same_kind")
    return out


def reciprocal_root(x: np.ndarray) -> np.ndarray:
    """``1 / sqrt(x)`` of float32: both in float64, then rounded to float32."""
    return np.asarray(1 / np.sqrt(x.astype(np.float64)), np.float32)


def exponential(x: np.ndarray) -> np.ndarray:
    """``exp(x)`` for ``x <= 0``, float32, within 2 units of the last place; 0 below -87.

    ``x = n ln 2 + r``; the power series of ``r`` to its seventh power, times 2**n.
    """
    kept = np.maximum(x, _SMALLEST_EXPONENT)
    exponent = np.rint(kept * _LOG2_E)
    rest = kept - exponent * _LN2_HIGH
    rest -= exponent * _LN2_LOW
    value = _polynomial(rest, _EXP_TERMS)
    with np.errstate(invalid="ignore"):  # NaN stays NaN, whatever integer it becomes here
        scale = exponent.astype(np.int32)
    value *= ((scale + 127) << 23).view(np.float32)
    value[x < _SMALLEST_EXPONENT] = 0
    return value


def logarithm(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive normal numbers, float32, within 3 units of the last place.

    ``x = 2**e (1 + f)`` with ``1 + f`` from sqrt(1/2) to sqrt(2); ``log(1 + f)`` as the series of
    ``s = f / (2 + f)`` to its eleventh power.
    """
    fraction, exponent = np.frexp(x)
    small = fraction < _ROOT_HALF
    fraction = np.where(small, fraction + fraction, fraction)
    f = fraction - np.float32(1)
    s = divide(f, f + np.float32(2))
    whole = (exponent - small).astype(np.float32)
    return whole * _LN2_HIGH + (whole * _LN2_LOW + s * _polynomial(s * s, _LOG_TERMS))


def cosine(angle: float) -> float:
    """cos of 0..pi in float64, within 2 units of the last place: power series of at most a quarter of pi."""
    if not 0 <= angle <= math.pi:
        raise ValueError(f"angle is {angle}; allowed: 0..pi")
    if angle <= math.pi / 4:
        return _series(angle * angle, _COS_TERMS)
    if angle <= 3 * math.pi / 4:
        rest = (math.pi / 2 - angle) + _HALF_PI_LOW
        return rest * _series(rest * rest, _SIN_TERMS)
    rest = (math.pi - angle) + 2 * _HALF_PI_LOW
    return -_series(rest * rest, _COS_TERMS)


def decay(x: float) -> float:
    """exp(-x) of 0..700 in float64, within 2 units of the last place: power series up to half of ln 2."""
    if not 0 <= x <= 700:
        raise ValueError(f"x is {x}; allowed: 0..700")
    exponent = round(x / (_LN2_UPPER + _LN2_LOWER))
    rest = (exponent * _LN2_UPPER - x) + exponent * _LN2_LOWER
    return math.ldexp(_series(rest, _DECAY_TERMS), -exponent)


def _polynomial(x: np.ndarray, terms: tuple[np.float32, ...]) -> np.ndarray:
    """Horner's scheme, the highest power's factor first; each operation rounds to float32."""
    value = x * terms[0]
    value += terms[1]
    for term in terms[2:]:
        value *= x
        value += term
    return value


def _series(x: float, terms: tuple[float, ...]) -> float:
    value = terms[0]
    for term in terms[1:]:
        value = value * x + term
    return value


def _divides_exactly() -> bool:
    """Whether this machine's float32 division of arrays is correctly rounded."""
    count = np.arange(1, 4097, dtype=np.float32)
    left, right = count * np.float32(1.2345679), count[::-1].copy()
    exact = np.divide(left, right, dtype=np.float64).astype(np.float32)
    return bool((left / right == exact).all())


_DIVIDES_EXACTLY = _divides_exactly()
