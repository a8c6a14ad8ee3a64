"""The learning rate over a run: pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

LR_SCHEDULES = ("step", "cosine", "constant", "cyclic")


@dataclass(frozen=True)
class LearningRate:
    """Rate at every step of a run.

    ``step``: times 0.1 at 50 % and at 75 % (CPT section 4.1), or every ``drop_steps``; ``cosine``: to
    0; ``constant``; ``cyclic``: down along half a cosine and back up at once, ``cycles`` times (warm
    restarts, a baseline of CPT).
    The first ``warmup_steps`` rise in a straight line; the schedule itself goes on below them.
    """

    schedule: str
    highest: float
    total_steps: int
    cycles: int = 1
    warmup_steps: int = 0
    drop_steps: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in LR_SCHEDULES:
            raise ValueError(f"lr-schedule is {self.schedule!r}; allowed: {', '.join(LR_SCHEDULES)}")

    def at(self, step: int) -> float:
        """Rate of ``step``, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "step" and self.drop_steps:
            return float(self.highest * warm * 0.1 ** (step // self.drop_steps))
        return self.highest * warm * self._height(step / self.total_steps)

    def _height(self, done: float) -> float:
        if self.schedule == "step":
            return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "cyclic":
            return 0.5 * (1 + math.cos(math.pi * (done * self.cycles % 1)))
        return 1.0
