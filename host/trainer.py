"""A run of training: steps, epochs, batches in their order, the precision of each, and what they took."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cpt.host.config import TrainConfig, resnet_depth, settled
from cpt.host.counters import Counters
from cpt.host.data import Dataset, Images, affine, training_batches, with_bytes
from cpt.host.learning_rate import learning_rate
from cpt.host.metrics import Tally
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import require
from cpt.model.architecture import cifar_resnet
from cpt.model.bitops import counted_macs
from cpt.model.golden.fabric.codes import image_bits
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Report

LEAST_ERROR_BITS = 2
"""Codes of errors are symmetric about 0."""


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


class Machine(Protocol):
    """What does whole steps: `cpt.host.fabric.FabricTrainer` on a device, or the golden trainer."""

    def train_step(self, images: np.ndarray, labels: np.ndarray, bits: tuple[int, int], lr: float) -> Report:
        """One step on byte ``images`` (batch, H, W, C) with ``bits`` (fw, bw)."""

    def evaluate(self, images: np.ndarray, labels: np.ndarray, bits: int) -> float:
        """Accuracy (0 .. 1) by the running statistics."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All arrays and counters."""

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ValueError` if it is that of another network."""


class Clock(Protocol):
    """What a machine's work took: counted by a device, or forecast."""

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of the step that has just been done."""

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of the evaluation that has just been done."""


class NoClock:
    """Counts nothing."""

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of a step: nothing."""
        return Counters()

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of an evaluation: nothing."""
        return Counters()


class Trainer:
    """A network in training on a machine: where the run stands, what comes next, what it has cost so far.

    Args:
        config: ``micro_batch`` divides the batch; 0 is `cpt.host.config.MICRO_BATCH`, or the next divisor
            below.
        data: images of bytes (`cpt.host.data.with_bytes`); what a byte stands for is standardised.
        array: of the machine.
        make, clock: the machine, and then what its work took, for a network and the configuration with its
            micro-batch settled.

    Raises `ContractError` for a configuration or images that machines cannot take, or a batch that does not
    fit the training set.
    """

    memory_bytes = 0
    """Contiguous memory that training takes, beside the command ring."""

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        array: ArrayConfig,
        make: Callable[[Network, TrainConfig], Machine],
        clock: Callable[[Network, TrainConfig], Clock],
    ) -> None:
        require(config.bw >= LEAST_ERROR_BITS, f"bw is {config.bw}; allowed: {LEAST_ERROR_BITS}..16")
        config, data = settled(config), with_bytes(data)
        require(
            config.batch_size <= len(data.train),
            f"batch-size is {config.batch_size}; allowed: 1..{len(data.train)} (training images)",
        )
        self.config, self.data, self.array = config, data, array
        self.steps_per_epoch = len(data.train) // config.batch_size
        self.total_steps = config.total_steps(self.steps_per_epoch)
        self.plan = config.plan(self.steps_per_epoch)
        height, width, channels = data.train.pixels.shape[1:]
        self.description = cifar_resnet(
            resnet_depth(config.model), data.classes, (height, width), channels, config.width
        )
        self.step = 0
        self.bit_products = 0
        """Sum over training steps of ``fw**2 + 2*fw*bw``."""
        self.training, self.evaluation = Tally(), Tally()
        self.network = Network.residual(self.description, *affine(data), config.seed)
        self.machine = make(self.network, config)
        self._clock = clock(self.network, config)
        self.listeners: list[Callable[[], None]] = []
        """Called while a device works, where there is one."""

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

    def epoch_batches(self) -> Iterator[Images]:
        """What is left of the current epoch, or of the run if that ends first; drawn one by one."""
        config = self.config
        batches = training_batches(
            self.data.train,
            config.batch_size,
            seed=config.seed,
            epoch=self.epoch,
            max_shift=config.max_shift,
            skip=self.step % self.steps_per_epoch,
        )
        return itertools.islice(batches, self.total_steps - self.step)

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

    def train_step(self, batch: Images) -> StepReport:
        """Forward, backward and update for one batch, at the precision the plan gives."""
        bits, lr = self.bits(), self.learning_rate()
        found, took = self.one_step(batch, bits, lr)
        self.training.add_counters(took, self._binary_macs(*bits) * len(batch))
        return self._report(found.loss, found.correct, lr, batch)

    def one_step(self, batch: Images, bits: tuple[int, int], lr: float) -> tuple[Report, Counters]:
        """A step that is not of the plan, and what it took."""
        found = self.machine.train_step(batch.pixels, batch.labels, bits, lr)
        return found, self._clock.trained(bits)

    def evaluate(self) -> float:
        """Accuracy (0..1) on the test set at the configuration's ``evaluation_bits``."""
        test, bits = self.data.test, self.config.evaluation_bits
        accuracy = self.machine.evaluate(test.pixels, test.labels, bits)
        useful = self._binary_macs(bits, 0) * len(test)
        self.evaluation.add_counters(self._clock.evaluated(bits, len(test)), useful)
        return accuracy

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copies of all arrays, and the counters: what `load_state` needs to go on bit for bit."""
        counters = {
            "step": self.step,
            "bit_products": self.bit_products,
            "training": self.training.as_dict(),
            "evaluation": self.evaluation.as_dict(),
        }
        return self.machine.state()[0], counters

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ValueError` if it is that of another model."""
        self.machine.load_state(arrays, counters)
        self.step = int(counters["step"])
        self.bit_products = int(counters["bit_products"])
        self.training.load(counters["training"])
        self.evaluation.load(counters["evaluation"])

    def weights_sha256(self) -> str:
        """Hash of the trained weights, read from the machine."""
        self.machine.state()
        return self.network.weights_sha256()

    def _report(self, loss: float, correct: int, lr: float, batch: Images) -> StepReport:
        """Of the step that has just been done, which is counted."""
        fw, bw = self.bits()
        report = StepReport(self.step, self.epoch, fw, bw, lr, loss, correct, len(batch))
        self.bit_products += fw * fw + 2 * fw * bw
        self.step += 1
        return report

    def _binary_macs(self, fw: int, bw: int) -> int:
        """Useful binary multiply-accumulates of an image: forward, of dW, and of dX but the stem's."""
        total = 0
        for index, layer in enumerate(self.network.layers):
            of_input = image_bits(fw) if index == 0 else fw
            total += layer.shape.macs * (fw * of_input + bw * of_input + (fw * bw if index else 0))
        return total
