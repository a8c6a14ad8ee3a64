"""Running range of an activation, for evaluation."""

from __future__ import annotations

import numpy as np

_KEEP, _ADD = np.float32(0.9), np.float32(0.1)


class RunningRange:
    """Bias-corrected running average of a tensor's smallest and largest value (NUMERICS section 2).

    ``state`` is float32 (3,): both averages as they run from 0, and the weight they have collected so far,
    ``1 - 0.9**steps``; dividing by it removes the bias towards the zero start.
    """

    def __init__(self) -> None:
        self.state = np.zeros(3, np.float32)

    def observe(self, x: np.ndarray) -> tuple[np.float32, np.float32]:
        """The range of ``x`` (float32), which also moves the averages."""
        seen = np.array([x.min(), x.max(), 1], np.float32)
        self.state *= _KEEP
        self.state += _ADD * seen
        return seen[0], seen[1]

    def average(self) -> tuple[np.float32, np.float32]:
        """The corrected averages; raises `RuntimeError` before the first `observe`."""
        low, high, weight = self.state
        if weight == 0:
            raise RuntimeError("activation range is unknown: evaluation needs at least one training step")
        return low / weight, high / weight
