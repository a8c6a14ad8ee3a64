"""Training on the golden functions alone: steps of micro-batches, evaluation, state to resume from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cpt.model.golden.fabric import step, update
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network
from cpt.model.loss import SoftmaxCrossEntropy, correct
from cpt.model.schedule import Plan


@dataclass(frozen=True)
class Settings:
    """What decides a run beside network, data and order of batches."""

    seed: int = 0
    batch_size: int = 32
    micro_batch: int = 16
    """Images of a micro-batch; the batch is a whole number of them."""
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.micro_batch < 1 or self.batch_size < 1 or self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro-batch is {self.micro_batch}; allowed: a divisor of batch-size ({self.batch_size})"
            )

    @property
    def micro_batches(self) -> int:
        """Of a step."""
        return self.batch_size // self.micro_batch


@dataclass(frozen=True)
class Report:
    """What a step did; ``loss`` is the mean over its batch, ``correct`` counts its images."""

    step: int
    fw: int
    bw: int
    loss: float
    correct: int


class Trainer:
    """One network in training; `train_step` is a step of the machine."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network, self.settings = network, settings
        self.velocity = {name: np.zeros_like(value) for name, value in network.parameters.items()}
        self.rate = running_rate(settings.micro_batches)
        self.step = 0

    def train_step(self, images: np.ndarray, labels: np.ndarray, bits: tuple[int, int], lr: float) -> Report:
        """One step on byte ``images`` (batch, H, W, C) with ``bits`` (fw, bw); raises `FabricOverflow`."""
        settings, network = self.settings, self.network
        if len(images) != settings.batch_size:
            raise ValueError(f"images are {len(images)}; allowed: batch-size ({settings.batch_size})")
        fw, bw = bits
        weights = step.prepare(network, fw)
        totals: dict[str, np.ndarray] = {}
        criterion = SoftmaxCrossEntropy(settings.batch_size)
        for number in range(settings.micro_batches):
            part = slice(number * settings.micro_batch, (number + 1) * settings.micro_batch)
            logits, tape = step.forward(network, weights, images[part], step.Pass(fw, self.rate))
            gradient = criterion.gradient(logits, labels[part])
            noise = step.Noise(settings.seed, self.step, number)
            found = step.backward(network, weights, tape, gradient, bw, noise)
            totals = {name: update.accumulate(totals.get(name), value) for name, value in found.items()}
        self._update(totals, np.float32(lr))
        self.step += 1
        return Report(self.step - 1, fw, bw, criterion.loss(), criterion.correct())

    def train(self, images: np.ndarray, labels: np.ndarray, plan: Plan, position: int, lr: float) -> Report:
        """`train_step` at the precision that ``plan`` has at ``position``."""
        return self.train_step(images, labels, plan.bits(position), lr)

    def evaluate(self, images: np.ndarray, labels: np.ndarray, bits: int, batch: int = 128) -> float:
        """Accuracy (0 .. 1) with the running statistics; how many images make a ``batch`` changes nothing."""
        weights = step.prepare(self.network, bits, training=False)
        hits = 0
        for start in range(0, len(images), batch):
            some = slice(start, start + batch)
            logits, _ = step.forward(self.network, weights, images[some], step.Pass(bits))
            hits += correct(logits, labels[some])
        return hits / len(images)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copies of all arrays, and the counters: what `load_state` needs to go on bit for bit."""
        arrays = {name: value.copy() for name, value in self._arrays().items()}
        return arrays, {"step": self.step}

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ValueError` if it is that of another network."""
        own = self._arrays()
        if {name: value.shape for name, value in arrays.items()} != {n: v.shape for n, v in own.items()}:
            raise ValueError("state has other arrays; allowed: those of the same network")
        for part, group in (
            ("parameters", self.network.parameters),
            ("buffers", self.network.buffers),
            ("velocity", self.velocity),
        ):
            group.update({name: np.array(arrays[f"{part}.{name}"], np.float32) for name in group})
        self.step = int(counters["step"])

    def _update(self, gradients: Mapping[str, np.ndarray], lr: np.float32) -> None:
        """All parameters as one vector: the update looks at each weight alone."""
        parameters = self.network.parameters
        momentum, decay = np.float32(self.settings.momentum), np.float32(self.settings.weight_decay)
        weight, velocity, gradient = (_flat(parameters, a) for a in (parameters, self.velocity, gradients))
        weight, velocity = update.momentum_update(weight, velocity, gradient, lr, momentum, decay)
        start = 0
        for name, old in parameters.items():
            part = slice(start, start + old.size)
            parameters[name] = weight[part].reshape(old.shape)
            self.velocity[name] = velocity[part].reshape(old.shape)
            start += old.size

    def _arrays(self) -> dict[str, np.ndarray]:
        groups = {"parameters": self.network.parameters, "buffers": self.network.buffers}
        groups["velocity"] = self.velocity
        return {f"{part}.{name}": value for part, group in groups.items() for name, value in group.items()}


def _flat(names: Iterable[str], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """``arrays`` one after the other, in the order of ``names``."""
    return np.concatenate([arrays[name].ravel() for name in names])
