"""Training steps with marks between them, on emulated Arm: ``arm_steps.py FOLDER``.

A mark is a call of getppid, which the counter of instructions sees and nothing else makes. Prints, as JSON,
what the marks stand for, in order, and versions. FOLDER holds what `arm_instructions.py` left there.
"""

import json
import os
import pickle
import platform
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

import cpt.host.fabric
from cpt.host.driver import open_board
from cpt.host.fabric import FabricTrainer
from cpt.host.linux import LinuxDevice
from cpt.host.step_device import StepDevice
from cpt.model.loss import SoftmaxCrossEntropy
from cpt.trainers import trainer_on

WARM = 2
"""Steps before those that are counted: they fill caches and set precision slots."""
SPLIT = 2
"""Steps behind them, of which each part is counted: one at the same precision, one at another."""
GIVEN, BITFILE, BOARD = "given.pickle", "cpt.bit", "root"
"""Names in FOLDER: configuration, data set and programs; the bitstream; the board's files."""
PARTS = {
    "pixels in the machine's order": ((FabricTrainer, "_tiles"),),
    "softmax and its gradient": ((SoftmaxCrossEntropy, "gradient"),),
    "loss and hits": ((SoftmaxCrossEntropy, "loss"), (SoftmaxCrossEntropy, "correct")),
    "copies to and from memory": ((StepDevice, "write"), (StepDevice, "read")),
    "requests to the caches": ((LinuxDevice, "flush"), (LinuxDevice, "invalidate")),
    "ring": ((StepDevice, "ring"),),
    "waits, each over at once": ((StepDevice, "wait"),),
    "precision slots": ((StepDevice, "set_slots"),),
    "counters": ((StepDevice, "counters"),),
}
"""Parts of a step, and the functions that are them; one that calls another's is without it."""


class Marks:
    """Names of the marks made so far."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        """Make one."""
        self.names.append(name)
        os.getppid()

    def split(self) -> None:
        """From now on mark where each of `PARTS` begins and ends."""
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, self._between(part, getattr(owner, name)))

    def _between(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def marked(*arguments: Any, **options: Any) -> Any:
            self(f"+{part}")
            try:
                return function(*arguments, **options)
            finally:
                self(f"-{part}")

        return marked


def main() -> int:
    folder = Path(sys.argv[1])
    config, data, programs = pickle.loads((folder / GIVEN).read_bytes())
    cpt.host.fabric.compiled = lambda *_, **__: programs
    mark = Marks()
    with open_board(str(folder / BITFILE), folder / BOARD) as accelerator:
        trainer = trainer_on(config, data, accelerator)
        bits, rate = trainer.bits(), trainer.learning_rate()
        mark("draw")
        batches = list(trainer.epoch_batches())
        mark("drawn")
        for batch in batches[:WARM]:
            trainer.train_step(batch)
        mark("counted")
        for batch in batches[WARM:-SPLIT]:
            trainer.train_step(batch)
        mark("end")
        mark.split()
        mark("idle")
        mark("same")
        trainer.one_step(batches[-2], bits, rate)
        mark("other")
        trainer.one_step(batches[-1], (min(bits) - 1, bits[1]), rate)
        mark("end")
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    print(json.dumps({"marks": mark.names, "versions": versions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
