"""A scheduler that goes where a trainer of another library is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import nn

from cpt.model.schedule import UNITS
from cpt.model.schedulers import PrecisionScheduler

Make = Callable[[nn.Module, int], PrecisionScheduler]
"""A scheduler of a model, from the steps that the run has in the callback's unit."""


class Following:
    """Makes the scheduler when a run begins, and keeps it at the run's own count of epochs or iterations.

    The run's count is all there is to save, so a run that goes on from a checkpoint has the bits that it had.
    """

    def __init__(self, make: Make, unit: str) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit is {unit!r}; allowed: {', '.join(UNITS)}")
        self._make, self.unit = make, unit
        self._scheduler: PrecisionScheduler | None = None

    @property
    def scheduler(self) -> PrecisionScheduler:
        """That of the run; raises `RuntimeError` before one has begun."""
        if self._scheduler is None:
            raise RuntimeError("no scheduler before training begins; allowed: while it runs, and after it")
        return self._scheduler

    def begin(self, model: nn.Module, steps: Mapping[str, float]) -> None:
        """Make the scheduler for a run of so many ``steps``, by unit.

        Raises `ValueError` for a run without end, and for a scheduler of another unit.
        """
        total = steps[self.unit]
        if not math.isfinite(total) or total < 1:
            raise ValueError(
                f"the run has {total} steps of unit {self.unit!r}; allowed: at least 1 and an end, "
                "which a precision schedule needs"
            )
        found = self._make(model, math.ceil(total))
        if not isinstance(found, PrecisionScheduler):
            raise TypeError(f"make gives {type(found).__name__}; allowed: a PrecisionScheduler")
        if found.unit != self.unit:
            raise ValueError(
                f"the scheduler's unit is {found.unit!r}; allowed: the callback's, {self.unit!r}"
            )
        self._scheduler = found

    def reach(self, unit: str, number: int) -> None:
        """Epoch or iteration ``number`` begins; of another unit than the scheduler's it does nothing."""
        if unit != self.unit or number == self.scheduler.last_step:
            return
        if number == self.scheduler.last_step + 1:
            self.scheduler.step()
        else:
            self.scheduler.load_state_dict({"last_step": number})
