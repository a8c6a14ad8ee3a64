"""The learning rate over a run: pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

LR_SCHEDULES = ("step", "cosine", "constant", "cyclic", "linear", "anneal_cosine")


@dataclass(frozen=True)
class LearningRate:
    """Rate at every step of a run.

    ``step``: times ``drop_ratio`` at 50 % and at 75 % (CPT section 4.1), or every ``drop_steps``, or at each
    of ``drops``; ``cosine``: to 0; ``constant``; ``cyclic``: down along half a cosine and back up at once,
    ``cycles`` times (warm restarts, a baseline of CPT). Of the public CPT code: ``linear``, to a hundredth
    between 50 % and 90 %; ``anneal_cosine``: a cosine down to ``drop_ratio`` squared.
    The first ``warmup_steps`` rise in a straight line, the schedule itself going on below them, or are at
    ``warmup_rate`` if that is above 0.
    """

    schedule: str
    highest: float
    total_steps: int
    cycles: int = 1
    warmup_steps: int = 0
    drop_steps: int = 0
    drops: tuple[int, ...] = ()
    drop_ratio: float = 0.1
    warmup_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in LR_SCHEDULES:
            raise ValueError(f"lr-schedule is {self.schedule!r}; allowed: {', '.join(LR_SCHEDULES)}")

    def at(self, step: int) -> float:
        """Rate of ``step``, counted from 0."""
        warm = 1.0
        if step < self.warmup_steps:
            if self.warmup_rate:
                return self.warmup_rate
            warm = (step + 1) / self.warmup_steps
        if self.schedule == "step" and (self.drops or self.drop_steps):
            falls = sum(step >= drop for drop in self.drops) if self.drops else step // self.drop_steps
            return float(self.highest * warm * self.drop_ratio**falls)
        return self.highest * warm * self._height(step / self.total_steps)

    def _height(self, done: float) -> float:
        ratio = self.drop_ratio
        if self.schedule == "step":
            # 0.1 * 0.1 is not 0.01
            return 1.0 if done < 0.5 else ratio if done < 0.75 else float(f"{ratio**2:.12g}")
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "cyclic":
            return 0.5 * (1 + math.cos(math.pi * (done * self.cycles % 1)))
        if self.schedule == "linear":
            return 1 - 0.99 * min(1.0, max(0.0, (done - 0.5) / 0.4))
        if self.schedule == "anneal_cosine":
            return ratio**2 + 0.5 * (1 - ratio**2) * (1 + math.cos(math.pi * done))
        return 1.0
