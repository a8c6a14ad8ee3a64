"""Result rows as the result buffer holds them: 48-bit two's complement columns in one word."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.matrix.unit import result_bits

MASK = (1 << ACC_BITS) - 1


def pack_row(values: Sequence[int]) -> int:
    """One word of a row's columns."""
    return sum((int(value) & MASK) << ACC_BITS * column for column, value in enumerate(values))


def unpack_row(word: int, config: ArrayConfig) -> list[int]:
    """The columns of a row, modulo 2**48."""
    return [word >> ACC_BITS * column & MASK for column in range(config.cols)]


def random_row(config: ArrayConfig) -> int:
    """A row of random columns."""
    return random.getrandbits(ACC_BITS * config.cols)


def random_captured(config: ArrayConfig) -> int:
    """A row of random columns as the units capture them."""
    return random.getrandbits(result_bits(config) * config.cols)


def widened(captured: int, config: ArrayConfig) -> int:
    """A captured row with its columns sign-extended."""
    bits = result_bits(config)
    values = [captured >> bits * column & (1 << bits) - 1 for column in range(config.cols)]
    return pack_row([value - (value >> bits - 1 << bits) for value in values])


def add_rows(first: int, second: int, config: ArrayConfig) -> int:
    """The sum of two rows, column by column."""
    pairs = zip(unpack_row(first, config), unpack_row(second, config), strict=True)
    return pack_row([a + b for a, b in pairs])
