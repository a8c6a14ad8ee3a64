"""Running activation ranges: what evaluation quantises with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOMENTUM = 0.9
"""Share of the old average kept at each update (the public CPT code's)."""
_ZERO = np.float32(0)


def share_of_part(kept: float, count: int) -> float:
    """What an average takes of each of ``count`` parts that together leave ``kept`` of it: a float32."""
    return float(np.float32(1 - kept ** (1 / count)))


@dataclass
class RunningRange:
    """Exponential average of (lo, hi) that starts without bias, in float32.

    ``average = 0.9*average + 0.1*new``, and the same for ``weight`` with ``new = 1``; the value is
    ``average / weight``. Starting at 0 without the division, as the public code does, shrinks the ranges of
    the first steps: after one step to a tenth.
    """

    lo: np.float32 = _ZERO
    hi: np.float32 = _ZERO
    weight: np.float32 = _ZERO

    def update(self, lo: float, hi: float) -> None:
        """Take in the range of a training batch."""
        old, new = np.float32(MOMENTUM), np.float32(1 - MOMENTUM)
        self.lo = old * self.lo + new * np.float32(lo)
        self.hi = old * self.hi + new * np.float32(hi)
        self.weight = old * self.weight + new

    def value(self) -> tuple[np.float32, np.float32]:
        """(lo, hi) to quantise with; raises `ValueError` before the first update."""
        if self.weight == 0:
            raise ValueError(
                "running range has 0 updates; allowed: at least 1 training step before evaluation"
            )
        return self.lo / self.weight, self.hi / self.weight
