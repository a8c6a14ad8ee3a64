"""The SBM quantiser in float32, operation by operation as `docs/numerics.md` defines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.model.arithmetic import divide

MAX_BITS = 16
SAFE_FLOOR = 2.0**-126
"""Smallest scale: the smallest normal float32. No level is lost, and an all-equal tensor gets code 0."""
REFERENCE_FLOOR = 1e-8
"""The public CPT code's floor: flattens gradients whose range is below 2.55e-6 at 8 bits."""

_BLOCK = 1 << 15
"""Elements per pass, so that the scratch stays in the first-level caches."""


@dataclass(frozen=True)
class Quantised:
    """A tensor as codes: real value = ``scale * codes + zero``."""

    codes: np.ndarray
    """uint8 up to 8 bits, else uint16; values 0 .. 2**bits - 1."""
    scale: np.ndarray
    """float32: a scalar, or a vector over ``axis``."""
    zero: np.ndarray
    """float32, shaped like ``scale``; the real value of code 0."""
    bits: int
    axis: int | None = None
    """Axis of ``codes`` that ``scale`` and ``zero`` run along; None: one of each for the tensor."""

    def spread(self, vector: np.ndarray) -> np.ndarray:
        """``vector`` (scale or zero) shaped so that it broadcasts against the codes."""
        if self.axis is None:
            return vector
        shape = [1] * self.codes.ndim
        shape[self.axis] = -1
        return vector.reshape(shape)


def value_range(x: np.ndarray, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of the tensor, or along ``axis`` of each slice: float32."""
    axes = None if axis is None else tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    zero = np.float32(0)  # -0 + 0 = 0: which of two zeros is the smaller is the processor's choice
    return np.asarray(x.min(axes) + zero, np.float32), np.asarray(x.max(axes) + zero, np.float32)


def quantise(
    x: np.ndarray,
    bits: int,
    *,
    axis: int | None = None,
    lo: np.ndarray | float | None = None,
    hi: np.ndarray | float | None = None,
    noise: np.ndarray | None = None,
    floor: float = SAFE_FLOOR,
) -> Quantised:
    """``codes = rint(clip((x - lo)/scale + noise, 0, 2**bits - 1))``, ``scale = (hi - lo)/(2**bits - 1)``.

    ``x``: float32 of any shape. ``axis``: one range per slice along it. ``lo``, ``hi``: the range where
    it is known beforehand. ``noise``: float32 in [-0.5, 0.5), as many as elements of ``x`` in C order
    (stochastic rounding), else nearest, half to even. ``floor``: smallest scale.

    Every operation rounds to float32, in the order written. Raises `ValueError` for bits outside 1..16
    and for a range that is not finite. Source: docs/numerics.md; SBM, Banner et al. 2018.
    """
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"bits is {bits}; allowed: 1..{MAX_BITS}")
    x = np.asarray(x, np.float32)
    if lo is None or hi is None:
        found = value_range(x, axis)
        lo, hi = found[0] if lo is None else lo, found[1] if hi is None else hi
    zero, top = np.asarray(lo, np.float32), np.asarray(hi, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.maximum(divide(top - zero, np.float32(2**bits - 1)), np.float32(floor))
    if not (np.isfinite(scale).all() and np.isfinite(zero).all()):
        raise ValueError(f"range is {np.min(zero)}..{np.max(top)}; allowed: finite values and a finite width")
    result = Quantised(np.empty(x.shape, np.uint8 if bits <= 8 else np.uint16), scale, zero, bits, axis)
    if axis is None:
        _codes(x, result, None if noise is None else noise.reshape(-1))
    else:
        _codes_along_axis(x, result, noise)
    return result


def dequantise(q: Quantised) -> np.ndarray:
    """Real values of the codes: ``scale * codes``, then ``+ zero``, each rounded to float32."""
    values = q.codes.astype(np.float32)
    values *= q.spread(q.scale)
    values += q.spread(q.zero)
    return values


def _codes(x: np.ndarray, result: Quantised, noise: np.ndarray | None) -> None:
    """Fill the codes block by block in the caches, one scale for all."""
    flat, codes = x.reshape(-1), result.codes.reshape(-1)
    scratch = np.empty(min(flat.size, _BLOCK), np.float32)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        values = scratch[: len(block)]
        np.subtract(block, result.zero, out=values)
        divide(values, result.scale, out=values)
        if noise is not None:
            np.add(values, noise[start : start + _BLOCK], out=values)
        _round(values, result.bits, codes[start : start + _BLOCK])


def _codes_along_axis(x: np.ndarray, result: Quantised, noise: np.ndarray | None) -> None:
    """Fill the codes in one go; weights are small."""
    values = x - result.spread(result.zero)
    divide(values, result.spread(result.scale), out=values)
    if noise is not None:
        values += noise.reshape(x.shape)
    _round(values, result.bits, result.codes)


def _round(values: np.ndarray, bits: int, codes: np.ndarray) -> None:
    """Clip, round half to even (in place) and store."""
    np.maximum(values, np.float32(0), out=values)
    np.minimum(values, np.float32(2**bits - 1), out=values)
    np.rint(values, out=values)
    np.copyto(codes, values, casting="unsafe")
