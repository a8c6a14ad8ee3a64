"""A training run on the accelerator and what it leaves in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cpt.host.data import Images
from cpt.host.errors import CheckpointError
from cpt.host.metrics import Tally
from cpt.host.trainer import StepReport, Trainer
from cpt.hw.contract import CONTRACT_HASH
from cpt.model import checkpoint
from cpt.model.run import Run


class TrainingRun(Run[Trainer]):
    """A `Run` on the accelerator.

    Args:
        name, trainer, folder: as of `Run`.
        machine: what the run is simulated on, as JSON-like values (device, preset, memory_model).

    Files are replaced as a whole after every epoch, so an interrupted run leaves the last epoch's.
    """

    def __init__(self, name: str, trainer: Trainer, folder: Path, machine: Mapping[str, Any]) -> None:
        config = trainer.array
        stated = {
            **machine,
            "array": config.as_dict(),
            "clock_mhz": config.clock_mhz,
            "contract_hash": f"{CONTRACT_HASH:016x}",
            "dataset": trainer.data.name,
            "dataset_sha256": trainer.data.sha256(),
        }
        super().__init__(name, trainer, folder, stated)

    def resume(self) -> None:
        """As of `Run`; raises `cpt.host.errors.CheckpointError`."""
        try:
            super().resume()
        except checkpoint.CheckpointError as error:
            raise CheckpointError(str(error)) from None

    def train(
        self,
        on_step: Callable[[StepReport], None] = lambda report: None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
        before_step: Callable[[Images], None] = lambda batch: None,
    ) -> dict[str, Any]:
        """Train to the end, writing files after every epoch; returns the summary, also written."""
        trainer = self.trainer
        while trainer.step < trainer.total_steps:
            before = trainer.training_so_far()
            reports = trainer.train_epoch(on_step, before_step)
            row = self._row(reports, trainer.training - before, trainer.evaluate())
            self.end_epoch(row)
            on_epoch(row)
        summary = self.summary()
        self.end(summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """Result of the run so far. Times and utilisation are those of the training steps."""
        trainer, last = self.trainer, self.rows[-1]
        array = trainer.array
        return {
            **self.stated,
            "weights_sha256": trainer.weights_sha256(),
            "accuracy": last["accuracy"],
            "eval_bits": last["eval_bits"],
            "loss": last["loss"],
            "steps": trainer.step,
            "gbitops": trainer.gbitops(),
            "simulated_seconds": trainer.training.seconds(array),
            "evaluation_seconds": trainer.evaluation.seconds(array),
            "array_utilisation": trainer.training.array_utilisation(array),
            "array_busy": trainer.training.array_busy(),
            "training": trainer.training.as_dict(),
            "evaluation": trainer.evaluation.as_dict(),
        }

    def _row(self, reports: list[StepReport], tally: Tally, accuracy: float) -> dict[str, Any]:
        trainer, last = self.trainer, reports[-1]
        array = trainer.array
        return {
            "run": self.name,
            "epoch": last.epoch,
            "step": trainer.step,
            "fw": last.fw,
            "bw": last.bw,
            "fw_mean": sum(report.fw for report in reports) / len(reports),
            "lr": last.lr,
            "loss": math.fsum(report.loss for report in reports) / len(reports),
            "train_accuracy": sum(r.correct for r in reports) / sum(r.batch for r in reports),
            "accuracy": accuracy,
            "eval_bits": trainer.config.evaluation_bits,
            "gbitops": trainer.gbitops(),
            "simulated_seconds": trainer.training.seconds(array),
            "epoch_seconds": tally.seconds(array),
            "array_utilisation": tally.array_utilisation(array),
            **{name: value for name, value in tally.as_dict().items() if name != "products"},
        }
