"""Precision schedules for Lightning's trainer (extra ``lightning``)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from cpt.model.callbacks.following import Following, Make
from cpt.model.layer_precisions import calibration, precision, precisions
from cpt.model.schedulers import PrecisionScheduler


class PrecisionCallback(Callback):
    """Moves the precision of a quantised `LightningModule` while it trains.

    Args:
        make: gives the scheduler from the module and the number of steps that the run has, in ``unit``.
        unit: ``epoch``, or ``iteration``: a step of the optimiser, however many batches it accumulates. With
            several optimisers each step of one counts, as in ``Trainer.global_step``.
        evaluate_at: bits of weights and activations while it validates and tests; None: those in force.

    Logs ``fw_bits`` and ``bw_bits`` with every batch. What the sanity check before training measures leaves
    no trace: running ranges are as they were before it. Nothing is kept in checkpoints, since the trainer's
    own counts say where the schedule is.
    """

    def __init__(self, make: Make, unit: str = "epoch", evaluate_at: int | None = None) -> None:
        self._following = Following(make, unit)
        self._evaluate_at = evaluate_at
        self._evaluating, self._checking = ExitStack(), ExitStack()

    @property
    def scheduler(self) -> PrecisionScheduler:
        """That of the run; raises `RuntimeError` before one has begun."""
        return self._following.scheduler

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the scheduler, and go where the run goes on, which may be within an epoch.

        Not before: a trainer that is asked for its steps earlier forgets where its data goes on.
        """
        epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
        steps = trainer.estimated_stepping_batches if self._following.unit == "iteration" else 0
        self._following.begin(pl_module, {"epoch": epochs, "iteration": steps})
        self._following.reach("epoch", trainer.current_epoch)
        self._following.reach("iteration", trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bits of this epoch."""
        self._following.reach("epoch", trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The bits of this iteration."""
        self._following.reach("iteration", trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the bits that the batch had."""
        fw, bw = self.scheduler.get_last_bits()
        pl_module.log_dict({"fw_bits": float(fw), "bw_bits": float(bw)})

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what it moves: before training it takes the ranges of its own batches."""
        self._checking.enter_context(calibration(pl_module))
        for item in precisions(pl_module).values():
            self._checking.callback(item.range.copy_, item.range.clone())

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put it back."""
        self._checking.close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bits of evaluations."""
        if self._evaluate_at is not None:
            self._evaluating.enter_context(precision(pl_module, fw=self._evaluate_at))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Those of training again."""
        self._evaluating.close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bits of evaluations."""
        self.on_validation_start(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Those before it again."""
        self.on_validation_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Nothing stays that an evaluation set."""
        self._checking.close()
        self._evaluating.close()
