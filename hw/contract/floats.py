"""FLOAT's operands and operations; what lanes and channel arithmetic hand each other per channel."""

import enum

from cpt.hw.contract.config import CHANNEL_BITS

FIELD = 1 << CHANNEL_BITS
"""Addresses from a field of coefficients or statistics to the next; those beyond a machine's `channels` are
of no channel."""
LOCAL_WORDS = 1 << 14
"""Words of local memory, 32 bits each."""


class Space(enum.IntEnum):
    """Where an operand of FLOAT lies."""

    LOCAL = 0
    STATISTICS = 1
    COEFFICIENTS = 2
    SUMS = 3
    CONSTANT = 4
    SLOT = 5


class Statistic(enum.IntEnum):
    """Fields of a channel's statistics, which lanes write: address ``field * FIELD + channel``."""

    TOTAL = 0
    PRODUCT = 1
    LOWEST = 2
    HIGHEST = 3


class Coefficient(enum.IntEnum):
    """Fields of a channel's coefficients: address ``field * FIELD + channel``."""

    ZERO = 0
    SHIFT = 1
    MULTIPLIER = 2
    SECOND = 3
    ADDEND = 4
    TOTAL_SHIFT = 5


class SlotConstant(enum.IntEnum):
    """Numbers that follow from a slot's bits b: address ``slot * 8 + constant``."""

    BITS = 0
    FRACTION_BITS = 1
    TOP = 2
    TOP_SHARE = 3
    LARGEST = 4
    LARGEST_SHARE = 5


class Op(enum.IntEnum):
    """Operations of FLOAT: a, b, c are its operands; see `OP_DOCS`."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    MULTIPLY_ADD = 3
    MAXIMUM = 4
    MINIMUM = 5
    LARGEST = 6
    RECIPROCAL = 7
    RECIPROCAL_ROOT = 8
    SCALE = 9
    EXPONENT = 10
    POWER = 11
    FROM_INTEGER = 12
    TO_FIXED = 13
    CROSS = 14
    INT_ADD = 15
    INT_SUBTRACT = 16
    INT_MAXIMUM = 17
    INT_MINIMUM = 18
    SUM_MAGNITUDES = 19
    DRAIN_SHIFT = 20
    COPY = 21
    JOIN = 22
    QUANTISE = 23


OP_DOCS: dict[Op, str] = {
    Op.ADD: "``fl(a + b)``",
    Op.SUBTRACT: "``fl(a - b)``",
    Op.MULTIPLY: "``fl(a * b)``",
    Op.MULTIPLY_ADD: "``fl(fl(a * b) + c)``",
    Op.MAXIMUM: "the larger of a and b; with a resting destination the largest of all b",
    Op.MINIMUM: "the smaller of a and b",
    Op.LARGEST: "the larger of a and |b|",
    Op.RECIPROCAL: "``fl(1 / a)``",
    Op.RECIPROCAL_ROOT: "``fl(1 / sqrt(a))``",
    Op.SCALE: "``a * 2^b``, b an integer",
    Op.EXPONENT: "``floor(log2 |a|)``, an integer; -126 of 0",
    Op.POWER: "smallest integer k with ``32752 * 2^k >= a``; -140 where a is not above 0",
    Op.FROM_INTEGER: "``fl(a * b)`` of integers, exact before the one rounding",
    Op.TO_FIXED: "``rint(a * 2^b)``, in the bits of the constant's lower byte; with bit 8, ``2^(b-9)`` more",
    Op.CROSS: "``fl(constant * a - b * c)`` of integers, exact before the one rounding",
    Op.INT_ADD: "a + b",
    Op.INT_SUBTRACT: "a - b",
    Op.INT_MAXIMUM: "the larger of a and b",
    Op.INT_MINIMUM: "the smaller of a and b",
    Op.SUM_MAGNITUDES: "c + |(a << f) + b|, f the fraction bits of the constant's slot",
    Op.DRAIN_SHIFT: "smallest h with ``a * b <= 32767 * 2^h``, 0 .. 32",
    Op.COPY: "a shifted right by the constant; to local memory its lower 32 bits",
    Op.JOIN: "``a + b * 2^32``, a taken without sign",
    Op.QUANTISE: "``rint(fl(fl(a - b) * c))``, in the bits of the constant's lower byte",
}
FLOAT_OPERANDS: dict[Op, str] = {
    **dict.fromkeys(
        (Op.ADD, Op.SUBTRACT, Op.MULTIPLY, Op.MULTIPLY_ADD, Op.MAXIMUM, Op.MINIMUM, Op.LARGEST), "abc"
    ),
    **dict.fromkeys((Op.RECIPROCAL, Op.RECIPROCAL_ROOT, Op.QUANTISE), "abc"),
    **dict.fromkeys((Op.SCALE, Op.EXPONENT, Op.POWER, Op.TO_FIXED), "a"),
}
"""Operands that are float32, by operation; the others are integers."""
