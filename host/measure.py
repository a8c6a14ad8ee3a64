"""Measured times of a training run: wall clock and cycle counter, per epoch and precision."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cpt.host.board import WallClock
from cpt.host.files import write_atomically
from cpt.host.trainer import StepReport, Trainer
from cpt.hw.contract import CONTRACT_HASH

FORMAT = "cpt-measured-1"
MEASURED = "measured.json"


class Measurement:
    """Times of the training steps of one run; call `before_step` and `after_step` around each.

    ``wall`` counts wall time and cycles of the programs, from doorbell to done. ``host_seconds`` is the rest
    of the step: packing, batch norm and everything else that the processor does.
    """

    def __init__(self, trainer: Trainer, wall: WallClock) -> None:
        self._trainer, self._wall = trainer, wall
        self._rows: dict[tuple[int, int, int], dict[str, Any]] = {}
        self._start_s, self._wall_s, self._cycles = 0.0, 0.0, 0

    def before_step(self) -> None:
        """Note both clocks."""
        wall = self._wall
        self._start_s, self._wall_s, self._cycles = time.monotonic(), wall.seconds, wall.cycles

    def after_step(self, report: StepReport) -> None:
        """Add what the step took to its epoch and precision."""
        elapsed_s = time.monotonic() - self._start_s
        wall = self._wall
        row = self._rows.setdefault(
            (report.epoch, report.fw, report.bw),
            {"steps": 0, "cycles": 0, "wall_seconds": 0.0, "host_seconds": 0.0},
        )
        row["steps"] += 1
        row["cycles"] += wall.cycles - self._cycles
        row["wall_seconds"] += wall.seconds - self._wall_s
        row["host_seconds"] += elapsed_s - (wall.seconds - self._wall_s)

    def as_dict(self) -> dict[str, Any]:
        """Everything a simulation of the same run needs, and the rows."""
        trainer = self._trainer
        array = trainer.array
        return {
            "format": FORMAT,
            "contract_hash": f"{CONTRACT_HASH:016x}",
            "array": array.as_dict(),
            "clock_mhz": array.clock_mhz,
            "dataset": trainer.data.name,
            "image_shape": list(trainer.data.train.pixels.shape[1:]),
            "classes": trainer.data.classes,
            "config": trainer.config.as_dict(),
            "epochs": [
                {"epoch": epoch, "fw": fw, "bw": bw, **row}
                for (epoch, fw, bw), row in sorted(self._rows.items())
            ],
        }

    def save(self, folder: Path) -> Path:
        """Write ``measured.json`` into ``folder``; raises `OSError` naming the file if that fails."""
        path = folder / MEASURED
        write_atomically(path, (json.dumps(self.as_dict(), indent=2) + "\n").encode())
        return path
