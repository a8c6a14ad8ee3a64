"""Widths that the fabric's step is built with, and what raises when a value does not fit one."""

from __future__ import annotations

import numpy as np

PRODUCT_BITS = 48
"""Accumulators of the matrix unit, addends and results of a lane's multiplier."""
MULTIPLIER_BITS = 18
"""Port B of a DSP48E1: multipliers of lanes, K of weights."""
OPERAND_BITS = 25
"""Port A of a DSP48E1: column sums, the wide form of a drained product."""
LANE_BITS = 16
"""What lies in scratch memory: y, d, g and the residual stream."""
LARGEST = 2 ** (LANE_BITS - 1) - 1
"""Results of a drain and of an apply are -LARGEST .. LARGEST: 32,767."""
MOST_PIXELS = 2**17
"""Elements of a channel in a micro-batch: more would overflow a 48-bit sum of squares."""


class FabricOverflow(ArithmeticError):
    """A value does not fit the width that the fabric has for it; the message names value and width."""


def fits(name: str, values: np.ndarray, bits: int) -> np.ndarray:
    """``values`` if all are in -2^(bits-1) .. 2^(bits-1) - 1; else raises `FabricOverflow`."""
    if values.size:
        lowest, highest = int(values.min()), int(values.max())
        if lowest < -(1 << (bits - 1)) or highest >= 1 << (bits - 1):
            raise FabricOverflow(f"{name} is {lowest}..{highest}; allowed: {bits} bits, signed")
    return values


def within(name: str, values: np.ndarray, lowest: int, highest: int) -> np.ndarray:
    """``values`` if all are ``lowest`` .. ``highest``; else raises `FabricOverflow`."""
    if values.size and (int(values.min()) < lowest or int(values.max()) > highest):
        raise FabricOverflow(
            f"{name} is {int(values.min())}..{int(values.max())}; allowed: {lowest}..{highest}"
        )
    return values


def shift_rounded(values: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """``(v + 2^(shift-1)) >> shift``, halves up, int64; ``shift`` 0 leaves ``v``.

    In gates: the arithmetic shift plus the bit below its last one.
    """
    half = (np.int64(1) << np.asarray(shift, np.int64)) >> 1
    return (values + half) >> shift


def saturate(values: np.ndarray) -> tuple[np.ndarray, int]:
    """``values`` clipped to -32,767 .. 32,767 as int16, and how many of them the clip changed."""
    clipped = np.clip(values, -LARGEST, LARGEST)
    return clipped.astype(np.int16), int(np.count_nonzero(clipped != values))
