"""A torch training run and what it leaves: metrics.jsonl, checkpoint.npz and summary.json in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from model import checkpoint
from model.checkpoint import CheckpointError, other_run
from model.files import remove_leftovers, write_atomically
from model.training.methods import Learned
from model.training.state import weights_sha256
from model.training.trainer import StepReport, TorchTrainer

METRICS, CHECKPOINT, SUMMARY = "metrics.jsonl", "checkpoint.npz", "summary.json"


class TorchRun:
    """One trainer, its folder and its history.

    Args:
        name: what every record calls the run.
        trainer: the network in training.
        folder: where its files go; made if missing.
        save_every: steps between checkpoints inside an epoch; 0: only after epochs.

    Checkpoints hold everything: a run that was killed at any moment and resumed ends with the same weights
    on the CPU. The last two are kept; a damaged last one is passed over. Only the leading process writes.
    """

    def __init__(self, name: str, trainer: TorchTrainer, folder: Path, save_every: int = 0) -> None:
        if save_every < 0:
            raise ValueError(f"save-every is {save_every}; allowed: at least 0")
        self.name, self.trainer, self.folder, self.save_every = name, trainer, folder, save_every
        self.rows: list[dict[str, Any]] = []
        device = trainer.processes.device
        self.stated: dict[str, Any] = {
            "run": name,
            "device": device.type,
            "processes": trainer.processes.world,
            **trainer.task.describe(),
            "config": trainer.config.as_dict(),
            "seed": trainer.config.seed,
        }
        self.environment = {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "compiled": trainer.network is not trainer.model,
        }
        """Recorded, but another one may resume: then float32 sums may differ in their last bits."""

    def start(self) -> None:
        """Clear the folder of an earlier run's files."""
        if not self.trainer.processes.leads:
            return
        path = self.folder / CHECKPOINT
        for old in (path, checkpoint.previous(path), self.folder / SUMMARY):
            old.unlink(missing_ok=True)
        self._clean()
        self._write_rows()

    def resume(self) -> None:
        """Return to the folder's newest checkpoint.

        Raises `CheckpointError` if there is none, all are damaged, or it belongs to another run.
        """
        path = self.folder / CHECKPOINT
        arrays, meta = checkpoint.load_newest(path)
        if refusal := other_run(path, meta, self.stated, self.trainer.config.difference):
            raise CheckpointError(refusal)
        self.trainer.load_state(arrays, meta["counters"])
        self.rows = meta["rows"]
        if self.trainer.processes.leads:
            self._clean()
            self._write_rows()

    def train(
        self,
        on_step: Callable[[StepReport], None] = lambda report: None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> dict[str, Any]:
        """Train to the end, writing files after every epoch; returns the summary, also written."""
        trainer = self.trainer
        last: StepReport | None = None

        def stepped(report: StepReport) -> None:
            nonlocal last
            last = report
            on_step(report)
            inside = trainer.step % trainer.steps_per_epoch != 0 and not trainer.finished
            if self.save_every and inside and trainer.step % self.save_every == 0:
                self._save()

        while not trainer.finished:
            means = trainer.train_epoch(stepped)
            assert last is not None
            row = self._row(last, means)
            self.rows.append(row)
            self._save()
            if trainer.processes.leads:
                self._write_rows()
            on_epoch(row)
        summary = self.summary()
        if trainer.processes.leads:
            write_json(self.folder / SUMMARY, summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """Result of the run so far."""
        trainer, last = self.trainer, self.rows[-1]
        figures: dict[str, Any] = {
            name: last[name] for name in ("loss", "accuracy", "perplexity", "psnr_db") if name in last
        }
        result: dict[str, Any] = {
            **self.stated,
            **self.environment,
            **figures,
            "weights_sha256": weights_sha256(trainer.model),
            "eval_bits": last["eval_bits"],
            "steps": trainer.step,
            "gbitops": trainer.work.gbitops,
        }
        if trainer.average.count:
            averaged = trainer.evaluate_average()
            result["swa"] = {**averaged, "averaged": trainer.average.count}
        if isinstance(trainer.method, Learned):
            result["layer_bits"] = {name: fw for name, (fw, _) in trainer.method.bits().items()}
            # JSON objects are written sorted: the history's columns need names of their own.
            result["layers"] = list(trainer.method.learned.layers)
            result["bits_history"] = trainer.method.learned.history
        return result

    def _row(self, last: StepReport, means: Mapping[str, float]) -> dict[str, Any]:
        trainer = self.trainer
        bits = trainer.config.evaluation_bits
        return {
            "run": self.name,
            "epoch": last.epoch,
            "step": trainer.step,
            "fw": last.fw,
            "bw": last.bw,
            "lr": last.lr,
            **means,
            **trainer.evaluate(),
            "eval_bits": "learned" if bits is None else bits,
            "gbitops": trainer.work.gbitops,
        }

    def _save(self) -> None:
        arrays, counters = self.trainer.state()
        if self.trainer.processes.leads:
            meta = {"stated": self.stated, "counters": counters, "rows": self.rows}
            checkpoint.save_keeping_previous(self.folder / CHECKPOINT, arrays, meta)

    def _clean(self) -> None:
        for name in (METRICS, CHECKPOINT, SUMMARY):
            remove_leftovers(self.folder, name)

    def _write_rows(self) -> None:
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.rows)
        write_atomically(self.folder / METRICS, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
