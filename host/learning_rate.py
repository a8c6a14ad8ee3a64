"""The learning rate's course over a run."""

from __future__ import annotations

import math

from cpt.hw.contract.config import require
from cpt.model.arithmetic import cosine

LR_SCHEDULES = ("step", "cosine", "constant")


def learning_rate(schedule: str, lr: float, done: float) -> float:
    """Learning rate when the fraction ``done`` (0..1) of the run is over.

    ``step``: times 0.1 at 50 % and at 75 % (CPT, section 4.1); ``cosine``: to 0; ``constant``.
    """
    require(schedule in LR_SCHEDULES, f"lr-schedule is {schedule!r}; allowed: {', '.join(LR_SCHEDULES)}")
    if schedule == "step":
        return lr * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
    if schedule == "cosine":
        return lr * 0.5 * (1 + cosine(math.pi * done))
    return lr
