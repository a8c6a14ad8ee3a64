"""Training with whole steps: what trains takes images, precision and learning rate, and does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from cpt.host.config import TrainConfig
from cpt.host.counters import Counters
from cpt.host.course import Course, StepReport
from cpt.host.data import Dataset, Images, mean_and_deviation
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import require
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.codes import image_bits
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Report

LEAST_ERROR_BITS = 2
"""Codes of errors are symmetric about 0."""
MICRO_BATCH = 16
"""Images of a micro-batch unless told otherwise; fewer where they do not divide the batch."""
_BYTE = 255


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


class StepTrainer(Course):
    """A network in training on a machine of whole steps.

    Args:
        config: ``micro_batch`` divides the batch; 0 is `MICRO_BATCH`, or the next divisor below.
        data: images of bytes (`with_bytes`); what a byte stands for is standardised.
        array: of the machine.
        make, clock: the machine, and then what its work took, for a network and the configuration with its
            micro-batch settled.

    Raises `ContractError` for a configuration or images that such machines cannot take.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        array: ArrayConfig,
        make: Callable[[Network, TrainConfig], Machine],
        clock: Callable[[Network, TrainConfig], Clock],
    ) -> None:
        require(config.bw >= LEAST_ERROR_BITS, f"bw is {config.bw}; allowed: {LEAST_ERROR_BITS}..16")
        super().__init__(settled(config), with_bytes(data))
        self.array = array
        factor, offset = affine(data)
        self.network = Network.residual(self.description, factor, offset, config.seed)
        self.machine = make(self.network, self.config)
        self._clock = clock(self.network, self.config)
        self.listeners: list[Callable[[], None]] = []
        """Called while a device works, where there is one."""

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
        return self.machine.state()[0], self._counters()

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ValueError` if it is that of another model."""
        self.machine.load_state(arrays, counters)
        self._load_counters(counters)

    def weights_sha256(self) -> str:
        """Hash of the trained weights, read from the machine."""
        self.machine.state()
        return self.network.weights_sha256()

    def _binary_macs(self, fw: int, bw: int) -> int:
        """Useful binary multiply-accumulates of an image: forward, of dW, and of dX but the stem's."""
        total = 0
        for index, conv in enumerate(self._convolutions()):
            of_input = image_bits(fw) if index == 0 else fw
            total += conv.macs * (fw * of_input + bw * of_input + (fw * bw if index else 0))
        return total

    def _convolutions(self) -> list[Conv]:
        return [layer.shape for layer in self.network.layers]


def settled(config: TrainConfig) -> TrainConfig:
    """``config`` with its micro-batch; raises `ContractError` unless that divides the batch."""
    batch = config.batch_size
    usual = next(size for size in range(min(MICRO_BATCH, batch), 0, -1) if batch % size == 0)
    size = config.micro_batch or usual
    require(
        config.batch_size % size == 0,
        f"micro-batch is {size}; allowed: a divisor of batch-size ({config.batch_size})",
    )
    return config.replace(micro_batch=size)


def with_bytes(data: Dataset) -> Dataset:
    """``data`` with pixels of uint8; raises `ContractError` unless all of them are bytes."""
    train, test = (_bytes(data.name, part) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def _bytes(name: str, images: Images) -> Images:
    pixels = images.pixels
    whole = bool(pixels.min() >= 0 and pixels.max() <= _BYTE and (pixels == np.rint(pixels)).all())
    require(whole, f"data {name} has pixels that are no bytes; allowed: whole numbers 0..{_BYTE}")
    return Images(pixels.astype(np.uint8), images.labels)


def affine(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset that standardise a byte, float32 per image channel."""
    mean, deviation = mean_and_deviation(data.name, data.train)
    values = 1 / float(deviation), -float(mean) / float(deviation)
    channels = data.train.pixels.shape[-1]
    factor, offset = (np.full(channels, value, np.float32) for value in values)
    return factor, offset
