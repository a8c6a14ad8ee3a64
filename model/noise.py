"""Counter-based noise for stochastic rounding: the same numbers in numpy, torch and the fabric.

Element ``i`` of a tensor gets ``mix(i * GOLDEN + key)``, its upper 24 bits taken as a fraction in
[-0.5, 0.5). ``mix`` is a 32-bit integer hash of three xor-shifts and two multiplications
("lowbias32", C. Wellons, hash-prospector). The key names the tensor: run seed, step and layer.
Nothing but these counters needs saving, and any run can be replayed bit for bit.
"""

from __future__ import annotations

import numpy as np

GOLDEN = 0x9E3779B9
"""Odd number next to 2**32 / golden ratio: the step between the hash inputs of neighbouring elements."""
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)
FRACTION_BITS = 24
"""Bits of the hash that become noise: exactly what a float32 holds."""

_MASK = 0xFFFF_FFFF
_BLOCK = 1 << 15
"""Elements per pass, so that the scratch stays in the first-level caches."""
_WEYL = (np.arange(_BLOCK, dtype=np.uint64) * GOLDEN & _MASK).astype(np.uint32)


def mix(value: int) -> int:
    """The hash of one 32-bit number."""
    value &= _MASK
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        value ^= value >> shift
        value = value * multiplier & _MASK
    return value


def noise_key(seed: int, step: int, layer: int) -> int:
    """Key of one tensor: run seed, training step and layer number, each below 2**32."""
    key = 0
    for name, part in (("seed", seed), ("step", step), ("layer", layer)):
        if not 0 <= part <= _MASK:
            raise ValueError(f"noise {name} is {part}; allowed: 0..{_MASK}")
        key = mix(key + int(part) + GOLDEN)
    return key


def uniform(key: int, count: int, offset: int = 0) -> np.ndarray:
    """Noise of elements ``offset`` .. ``offset + count - 1``: float32 in [-0.5, 0.5), multiples of 2**-24."""
    out = np.empty(count, np.float32)
    first, second = (np.uint32(m) for m in MULTIPLIERS)
    left, middle, right = (np.uint32(s) for s in SHIFTS)
    low_bits = np.uint32(32 - FRACTION_BITS)
    step, half = np.float32(2.0**-FRACTION_BITS), np.float32(0.5)
    values = np.empty(min(count, _BLOCK), np.uint32)
    scratch = np.empty_like(values)
    for start in range(0, count, _BLOCK):
        block = out[start : start + _BLOCK]
        x, t = values[: len(block)], scratch[: len(block)]
        np.add(_WEYL[: len(block)], np.uint32(((start + offset) * GOLDEN + key) & _MASK), out=x)
        np.bitwise_xor(x, np.right_shift(x, left, out=t), out=x)
        np.multiply(x, first, out=x)
        np.bitwise_xor(x, np.right_shift(x, middle, out=t), out=x)
        np.multiply(x, second, out=x)
        np.bitwise_xor(x, np.right_shift(x, right, out=t), out=x)
        np.right_shift(x, low_bits, out=x)
        np.multiply(x, step, out=block, dtype=np.float32, casting="unsafe")
        np.subtract(block, half, out=block)
    return out
