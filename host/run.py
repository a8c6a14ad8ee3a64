"""A training run and what it leaves: metrics.jsonl, checkpoint.npz and summary.json in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from host import checkpoint
from host.checkpoint import CheckpointError
from host.data import Images
from host.files import write_atomically
from host.metrics import Tally
from host.trainer import StepReport, Trainer
from hw.contract.regs import CONTRACT_HASH
from model.bitops import counted_macs
from model.checkpoint import other_run

METRICS, CHECKPOINT, SUMMARY = "metrics.jsonl", "checkpoint.npz", "summary.json"


class TrainingRun:
    """One trainer, its folder and its history.

    Args:
        name: what every record calls the run.
        trainer: the network in training.
        folder: where its files go; made if missing.
        machine: what the run is simulated on, as JSON-like values (device, preset, memory_model).

    Files are replaced as a whole after every epoch, so an interrupted run leaves the last epoch's. Raises
    `OSError` naming the file if one cannot be written.
    """

    def __init__(self, name: str, trainer: Trainer, folder: Path, machine: Mapping[str, Any]) -> None:
        self.name, self.trainer, self.folder = name, trainer, folder
        self.rows: list[dict[str, Any]] = []
        config = trainer.accelerator.config
        self.stated: dict[str, Any] = {
            "run": name,
            **machine,
            "array": config.as_dict(),
            "clock_mhz": config.clock_mhz,
            "contract_hash": f"{CONTRACT_HASH:016x}",
            "dataset": trainer.data.name,
            "dataset_sha256": trainer.data.sha256(),
            "config": trainer.config.as_dict(),
            "seed": trainer.config.seed,
        }

    def start(self) -> None:
        """Clear the folder of an earlier run's files."""
        for name in (CHECKPOINT, SUMMARY):
            (self.folder / name).unlink(missing_ok=True)
        self._write_rows()

    def resume(self) -> None:
        """Return to the folder's checkpoint.

        Raises `CheckpointError` if there is none, it is damaged, or it belongs to another run.
        """
        path = self.folder / CHECKPOINT
        arrays, meta = checkpoint.load(path)
        if refusal := other_run(path, meta, self.stated, self.trainer.config.difference):
            raise CheckpointError(refusal)
        self.trainer.load_state(arrays, meta["counters"])
        self.rows = meta["rows"]
        self._write_rows()

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
            self.rows.append(row)
            self._write_rows()
            arrays, counters = trainer.state()
            meta = {"stated": self.stated, "counters": counters, "rows": self.rows}
            checkpoint.save(self.folder / CHECKPOINT, arrays, meta)
            on_epoch(row)
        summary = self.summary()
        write_json(self.folder / SUMMARY, summary)
        return summary

    def gbitops(self) -> float:
        """1e9 bit operations of all training steps so far (docs/numerics.md)."""
        trainer = self.trainer
        macs = counted_macs(trainer.network.description.layers)
        return macs * trainer.bit_products * trainer.config.batch_size / 1e9

    def summary(self) -> dict[str, Any]:
        """Result of the run so far. Times and utilisation are those of the training steps."""
        trainer, last = self.trainer, self.rows[-1]
        array = trainer.accelerator.config
        return {
            **self.stated,
            "weights_sha256": trainer.network.weights_sha256(),
            "accuracy": last["accuracy"],
            "eval_bits": last["eval_bits"],
            "loss": last["loss"],
            "steps": trainer.step,
            "gbitops": self.gbitops(),
            "simulated_seconds": trainer.training.seconds(array),
            "evaluation_seconds": trainer.evaluation.seconds(array),
            "array_utilisation": trainer.training.array_utilisation(array),
            "array_busy": trainer.training.array_busy(),
            "training": trainer.training.as_dict(),
            "evaluation": trainer.evaluation.as_dict(),
        }

    def _row(self, reports: list[StepReport], tally: Tally, accuracy: float) -> dict[str, Any]:
        trainer, last = self.trainer, reports[-1]
        array = trainer.accelerator.config
        return {
            "run": self.name,
            "epoch": last.epoch,
            "step": trainer.step,
            "fw": last.fw,
            "bw": last.bw,
            "fw_mean": float(np.mean([report.fw for report in reports])),
            "lr": last.lr,
            "loss": float(np.mean([report.loss for report in reports])),
            "train_accuracy": sum(r.correct for r in reports) / sum(r.batch for r in reports),
            "accuracy": accuracy,
            "eval_bits": trainer.config.evaluation_bits,
            "gbitops": self.gbitops(),
            "simulated_seconds": trainer.training.seconds(array),
            "epoch_seconds": tally.seconds(array),
            "array_utilisation": tally.array_utilisation(array),
            **{name: value for name, value in tally.as_dict().items() if name != "products"},
        }

    def _write_rows(self) -> None:
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.rows)
        write_atomically(self.folder / METRICS, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
