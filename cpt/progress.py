"""The progress bar of a training run."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from cpt.host.run import TrainingRun
from cpt.host.trainer import StepReport

_TERMINAL_INTERVAL_S, _FILE_INTERVAL_S = 0.1, 10.0


class Progress:
    """A bar over the steps of ``run``: epoch, bits, loss, test accuracy, simulated time.

    A context manager.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self.accuracy = ""
        trainer = run.trainer
        terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=trainer.total_steps,
            initial=trainer.step,
            desc=run.name,
            unit="step",
            mininterval=_TERMINAL_INTERVAL_S if terminal else _FILE_INTERVAL_S,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def step(self, report: StepReport) -> None:
        """Show a finished step."""
        trainer = self.run.trainer
        seconds = trainer.training.seconds(trainer.accelerator.config)
        self.bar.set_postfix_str(
            f"epoch {report.epoch + 1} FW{report.fw}/BW{report.bw} loss {report.loss:.3f}"
            f"{self.accuracy} simulated {seconds:.3f} s",
            refresh=False,
        )
        self.bar.update()

    def epoch(self, row: dict[str, Any]) -> None:
        """Show a finished epoch's test accuracy from now on."""
        self.accuracy = f" accuracy {100 * row['accuracy']:.1f} %"
