"""Precision schedules for Hugging Face's trainer (extra ``transformers``)."""

from __future__ import annotations

import math
import sys
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cpt.model.callbacks.following import Following, Make
from cpt.model.schedulers import PrecisionScheduler

_DIGITS = 6
"""Of a count of epochs that is a quotient of steps."""


class PrecisionCallback(TrainerCallback):
    """Moves the precision of a quantised model while `transformers.Trainer` trains it.

    Args:
        make: gives the scheduler from the model and the number of steps that the run has, in ``unit``.
        unit: ``epoch``, or ``iteration``: a step of the optimiser, however many batches it accumulates.

    Evaluations have the bits in force; `cpt.model.precision` around ``Trainer.evaluate`` sets others. Nothing
    is kept in checkpoints, since the trainer's own counts say where the schedule is.
    """

    def __init__(self, make: Make, unit: str = "epoch") -> None:
        self._following = Following(make, unit)

    @property
    def scheduler(self) -> PrecisionScheduler:
        """That of the run; raises `RuntimeError` before one has begun."""
        return self._following.scheduler

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **others: Any,
    ) -> None:
        """Make the scheduler, and go where the run goes on."""
        assert model is not None
        # The trainer's word for data whose length nobody knows.
        epochs = math.inf if state.num_train_epochs >= sys.maxsize else state.num_train_epochs
        self._following.begin(model, {"epoch": epochs, "iteration": state.max_steps})
        self.on_epoch_begin(args, state, control)
        self.on_step_begin(args, state, control)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """The bits of this epoch."""
        self._following.reach("epoch", int(round(state.epoch or 0.0, _DIGITS)))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """The bits of this iteration."""
        self._following.reach("iteration", state.global_step)
