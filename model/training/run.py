"""A torch training run and what it leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from cpt.model.files import write_atomically
from cpt.model.run import Run
from cpt.model.run_folder import HEALTH
from cpt.model.training.state import weights_sha256
from cpt.model.training.trainer import StepReport, TorchTrainer


class TorchRun(Run[TorchTrainer]):
    """A `Run` in torch.

    Args:
        name, trainer, folder: as of `Run`.
        save_every: steps between checkpoints inside an epoch; 0: only after epochs.

    Checkpoints hold everything: a run that was killed at any moment and resumed ends with the same weights
    on the CPU. The last two are kept; a damaged last one is passed over. Only the leading process writes.
    """

    def __init__(self, name: str, trainer: TorchTrainer, folder: Path, save_every: int = 0) -> None:
        if save_every < 0:
            raise ValueError(f"save-every is {save_every}; allowed: at least 0")
        processes = trainer.processes
        stated = {
            "device": processes.device.type,
            "processes": processes.world,
            **arithmetic(processes.device, compiled=trainer.network is not trainer.model),
            **trainer.task.describe(),
            **trainer.config.quantisation().plug.stated,
        }
        super().__init__(name, trainer, folder, stated, processes.leads)
        self.save_every = save_every

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
                self.save()

        while not trainer.finished:
            means = trainer.train_epoch(stepped)
            assert last is not None
            row = self._row(last, means)
            self.end_epoch(row)
            self._write_health()
            on_epoch(row)
        summary = self.summary()
        self.end(summary)
        return summary

    def _write_health(self) -> None:
        """What was measured so far, a line for each tensor and step."""
        if self.writes and self.trainer.health:
            lines = (json.dumps(row.as_dict()) + "\n" for row in self.trainer.health.rows)
            write_atomically(self.folder / HEALTH, "".join(lines).encode())

    def summary(self) -> dict[str, Any]:
        """Result of the run so far."""
        trainer, last = self.trainer, self.rows[-1]
        figures: dict[str, Any] = {
            name: last[name] for name in ("loss", "accuracy", "perplexity", "psnr_db") if name in last
        }
        result: dict[str, Any] = {
            **self.stated,
            **figures,
            "weights_sha256": weights_sha256(trainer.model),
            "eval_bits": last["eval_bits"],
            "steps": trainer.step,
            "gbitops": trainer.work.gbitops,
        }
        if trainer.average.count:
            averaged = trainer.evaluate_average()
            result["swa"] = {**averaged, "averaged": trainer.average.count}
        if (history := trainer.method.history()) is not None:
            result["layer_bits"] = {name: fw for name, (fw, _) in trainer.method.bits().items()}
            # JSON objects are written sorted: the history's columns need names of their own.
            result["layers"] = trainer.method.layers
            result["bits_history"] = history
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


def arithmetic(device: torch.device, *, compiled: bool) -> dict[str, Any]:
    """What the last bits of torch's float32 sums depend on: a run is resumed with the same, or not at all.

    On a CPU the threads and the widest instructions that torch uses; anywhere torch's version, and whether
    steps are compiled.
    """
    found: dict[str, Any] = {"torch": torch.__version__, "compiled": compiled}
    if device.type == "cpu":
        found["threads"] = torch.get_num_threads()
        found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    return found
