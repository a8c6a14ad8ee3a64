"""Counter-based noise for stochastic rounding: the same numbers in numpy, torch and the fabric.

Element ``i`` of a tensor gets ``mix(i * GOLDEN + key)``, its upper 24 bits taken as a fraction in
[-0.5, 0.5). ``mix`` is a 32-bit integer hash of three xor-shifts and two multiplications
("lowbias32", C. Wellons, hash-prospector). The key names the tensor: run seed, step and layer.
Nothing but these counters needs saving, and any run can be replayed bit for bit.
"""

from __future__ import annotations

import numpy as np

from cpt.model.arithmetic import sum_in_halves

GOLDEN = 0x9E3779B9
"""Odd number next to 2**32 / golden ratio: the step between the hash inputs of neighbouring elements."""
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)
FRACTION_BITS = 24
"""Bits of the hash that become noise: exactly what a float32 holds."""

MASK = 0xFFFF_FFFF
"""Sums and products are modulo 2**32."""
_BLOCK = 1 << 15
"""Elements per pass, so that the scratch stays in the first-level caches."""
_SHIFT_WORDS = tuple(np.uint32(shift) for shift in SHIFTS)
_MULTIPLIER_WORDS = (*(np.uint32(multiplier) for multiplier in MULTIPLIERS), np.uint32(1))
_LOW_BITS = np.uint32(32 - FRACTION_BITS)
_FRACTION, _HALF = np.float32(2.0**-FRACTION_BITS), np.float32(0.5)
_WEYL = (np.arange(_BLOCK, dtype=np.uint64) * GOLDEN & MASK).astype(np.uint32)


def mix(value: int) -> int:
    """The hash of one 32-bit number."""
    value &= MASK
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        value ^= value >> shift
        value = value * multiplier & MASK
    return value


def extended(key: int, name: str, part: int) -> int:
    """``key`` with one more ``part``, below 2**32; raises `ValueError` that names it for any other."""
    if not 0 <= part <= MASK:
        raise ValueError(f"noise {name} is {part}; allowed: 0..{MASK}")
    return mix(key + int(part) + GOLDEN)


def noise_key(seed: int, step: int, layer: int) -> int:
    """Key of one tensor: run seed, training step and layer number, each below 2**32."""
    key = 0
    for name, part in (("seed", seed), ("step", step), ("layer", layer)):
        key = extended(key, name, part)
    return key


def hashes(key: int, count: int) -> np.ndarray:
    """Hashes of elements 0 .. ``count - 1``, ``mix(i * GOLDEN + key)``: uint32."""
    out = np.empty(count, np.uint32)
    scratch = np.empty(min(count, _BLOCK), np.uint32)
    for start in range(0, count, _BLOCK):
        block = out[start : start + _BLOCK]
        _hash(block, key, start, scratch[: block.size])
    return out


def uniform(key: int, count: int, offset: int = 0) -> np.ndarray:
    """Noise of elements ``offset`` .. ``offset + count - 1``: float32 in [-0.5, 0.5), multiples of 2**-24."""
    out = np.empty(count, np.float32)
    scratch = np.empty((2, min(count, _BLOCK)), np.uint32)
    for start in range(0, count, _BLOCK):
        _fill(out[start : start + _BLOCK], key, start + offset, scratch)
    return out


def normal(key: int, count: int) -> np.ndarray:
    """``count`` values with mean 0 and deviation 1, float32: each the sum of twelve of `uniform`.

    Value ``i`` sums elements ``i``, ``count + i``, ...; the sum is exact, then rounded once. No logarithm or
    cosine, whose last bit differs between processors; the tails end at 6 deviations.
    """
    twelve = uniform(key, 12 * count).reshape(12, count).astype(np.float64)
    return sum_in_halves(twelve, overwrite=True).astype(np.float32)


def add_uniform(values: np.ndarray, key: int, offset: int = 0) -> None:
    """Add `uniform` to ``values`` (float32, flat) in place, without a tensor of noise in between."""
    scratch = np.empty((2, min(values.size, _BLOCK)), np.uint32)
    noise = np.empty(min(values.size, _BLOCK), np.float32)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        _fill(noise[: block.size], key, start + offset, scratch)
        np.add(block, noise[: block.size], out=block)


def _fill(out: np.ndarray, key: int, first: int, scratch: np.ndarray) -> None:
    """Noise of at most `_BLOCK` elements from ``first`` on; every pass stays in the cache."""
    x = scratch[0, : out.size]
    _hash(x, key, first, scratch[1, : out.size])
    np.right_shift(x, _LOW_BITS, out=x)
    np.copyto(out, x.view(np.int32), casting="unsafe")
    np.multiply(out, _FRACTION, out=out)
    np.subtract(out, _HALF, out=out)


def _hash(x: np.ndarray, key: int, first: int, scratch: np.ndarray) -> None:
    """Fill ``x`` with the hashes of elements from ``first`` on, at most `_BLOCK`."""
    np.add(_WEYL[: x.size], np.uint32((first * GOLDEN + key) & MASK), out=x)
    for shift, multiplier in zip(_SHIFT_WORDS, _MULTIPLIER_WORDS, strict=True):
        np.bitwise_xor(x, np.right_shift(x, shift, out=scratch), out=x)
        if multiplier != 1:
            np.multiply(x, multiplier, out=x)
