"""Golden order of steps and bit planes for the benches, written from docs/machine.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """One step of the array: plane pair, word along K and what the accumulator does."""

    plane_a: int
    plane_b: int
    k: int
    clear: bool
    double: bool
    a_negative: bool
    b_negative: bool

    @property
    def negative(self) -> bool:
        """Whether the pair's count is subtracted."""
        return self.a_negative != self.b_negative


def steps(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool, ksteps: int) -> Iterator[Step]:
    """The steps of one tile: anti-diagonals from the highest weight down, ``ksteps`` words a pair."""
    first = True
    for weight in range(bits_a + bits_b - 2, -1, -1):
        new = True
        for plane_a in range(max(0, weight - bits_b + 1), min(weight, bits_a - 1) + 1):
            plane_b = weight - plane_a
            for k in range(ksteps):
                yield Step(
                    plane_a,
                    plane_b,
                    k,
                    clear=first,
                    double=new and not first,
                    a_negative=signed_a and plane_a == bits_a - 1,
                    b_negative=signed_b and plane_b == bits_b - 1,
                )
                first = new = False


def word(codes: NDArray[np.int64], plane: int, k: int, width: int) -> int:
    """Bits ``plane`` of the ``width`` codes of K step ``k`` of one lane, the first code in bit 0."""
    part = codes[k * width : (k + 1) * width]
    return sum(int(code) >> plane & 1 and 1 << index for index, code in enumerate(part))
