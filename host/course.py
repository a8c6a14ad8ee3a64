"""The course of a run, whatever trains: steps, epochs, batches in their order, the precision of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cpt.host.config import TrainConfig, resnet_depth
from cpt.host.data import Dataset, Images, training_batches
from cpt.host.learning_rate import learning_rate
from cpt.host.metrics import Tally
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import require
from cpt.model import architecture
from cpt.model.bitops import counted_macs


@dataclass(frozen=True)
class StepReport:
    """What a step did; ``loss`` is the mean over its batch, ``correct`` counts images of ``batch``."""

    step: int
    epoch: int
    fw: int
    bw: int
    lr: float
    loss: float
    correct: int
    batch: int


class Course(ABC):
    """Where a run stands, what comes next, and what it has cost so far.

    Raises `ContractError` if a batch does not fit the training set.
    """

    array: ArrayConfig
    """Of the machine that trains."""
    memory_bytes = 0
    """Contiguous memory that training takes, beside the command ring."""

    def __init__(self, config: TrainConfig, data: Dataset) -> None:
        require(
            config.batch_size <= len(data.train),
            f"batch-size is {config.batch_size}; allowed: 1..{len(data.train)} (training images)",
        )
        self.config, self.data = config, data
        self.steps_per_epoch = len(data.train) // config.batch_size
        self.total_steps = config.total_steps(self.steps_per_epoch)
        self.plan = config.plan(self.steps_per_epoch)
        height, width, channels = data.train.pixels.shape[1:]
        self.description = architecture.cifar_resnet(
            resnet_depth(config.model), data.classes, (height, width), channels, config.width
        )
        self.step = 0
        self.bit_products = 0
        """Sum over training steps of ``fw**2 + 2*fw*bw``."""
        self.training, self.evaluation = Tally(), Tally()

    @abstractmethod
    def train_step(self, batch: Images) -> StepReport:
        """Forward, backward and update for one batch, at the precision the plan gives."""

    @abstractmethod
    def evaluate(self) -> float:
        """Accuracy (0..1) on the test set at the configuration's ``evaluation_bits``."""

    @abstractmethod
    def weights_sha256(self) -> str:
        """Hash of the trained weights."""

    @property
    def epoch(self) -> int:
        """Epoch of the next step."""
        return self.step // self.steps_per_epoch

    def bits(self) -> tuple[int, int]:
        """(fw, bw) of the next step."""
        return self.plan.bits(self.epoch if self.config.per_epoch() else self.step)

    def learning_rate(self) -> float:
        """Of the next step."""
        return learning_rate(self.config.lr_schedule, self.config.lr, self.step / self.total_steps)

    def epoch_batches(self) -> list[Images]:
        """What is left of the current epoch, or of the run if that ends first."""
        config = self.config
        batches = training_batches(
            self.data.train,
            config.batch_size,
            seed=config.seed,
            epoch=self.epoch,
            max_shift=config.max_shift,
            skip=self.step % self.steps_per_epoch,
        )
        return list(batches)[: self.total_steps - self.step]

    def train_epoch(
        self,
        on_step: Callable[[StepReport], None] = lambda report: None,
        before_step: Callable[[Images], None] = lambda batch: None,
    ) -> list[StepReport]:
        """Run `epoch_batches`; reports of its steps."""
        reports = []
        for batch in self.epoch_batches():
            before_step(batch)
            reports.append(self.train_step(batch))
            on_step(reports[-1])
        return reports

    def training_so_far(self) -> Tally:
        """A copy of the training tally."""
        return replace(self.training)

    def gbitops(self) -> float:
        """1e9 bit operations of all training steps so far (docs/numerics.md)."""
        return counted_macs(self.description.layers) * self.bit_products * self.config.batch_size / 1e9

    def _report(self, loss: float, correct: int, lr: float, batch: Images) -> StepReport:
        """Of the step that has just been done, which is counted."""
        fw, bw = self.bits()
        report = StepReport(self.step, self.epoch, fw, bw, lr, loss, correct, len(batch))
        self.bit_products += fw * fw + 2 * fw * bw
        self.step += 1
        return report

    def _counters(self) -> dict[str, Any]:
        """What a checkpoint holds beside arrays."""
        return {
            "step": self.step,
            "bit_products": self.bit_products,
            "training": self.training.as_dict(),
            "evaluation": self.evaluation.as_dict(),
        }

    def _load_counters(self, counters: Mapping[str, Any]) -> None:
        self.step = int(counters["step"])
        self.bit_products = int(counters["bit_products"])
        self.training.load(counters["training"])
        self.evaluation.load(counters["evaluation"])

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copies of all arrays, and the counters: what `load_state` needs to go on bit for bit."""

    @abstractmethod
    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ContractError` if it is that of another model."""
