"""Training on the accelerator: a step, an epoch, evaluation, and the state that resumes bit for bit."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cpt.host.config import TrainConfig
from cpt.host.course import Course, StepReport
from cpt.host.data import Dataset, Images, evaluation_batches
from cpt.host.engine import GemmEngine, GemmRun
from cpt.host.errors import OutOfDeviceMemory
from cpt.host.layers import StepContext
from cpt.host.metrics import Tally
from cpt.host.network import ResNet, copy_arrays
from cpt.host.optimiser import Sgd
from cpt.host.pages import whole_pages
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.model.loss import correct, softmax_cross_entropy

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator


class Trainer(Course):
    """One network in training on one accelerator.

    Programs and buffers are made once, for the widest bits of the run; the precision is changed by writing
    slots. Weights, batch norm, loss and updates are float32 on the host, in a stated order of operations
    (docs/numerics.md): the same bits on every machine. Every step starts at the command ring's beginning.

    Raises `ContractError` if a batch does not fit the training set, `OutOfDeviceMemory` if it does not fit
    the accelerator's memory.
    """

    def __init__(self, config: TrainConfig, data: Dataset, accelerator: Accelerator) -> None:
        super().__init__(config, data)
        self.accelerator, self.array = accelerator, accelerator.config
        self.slots = PrecisionSlots(
            {FORWARD_SLOT: max(config.fw[1], config.evaluation_bits), BACKWARD_SLOT: config.bw},
            lambda slot, bits: accelerator.set_slot(slot, bits, False),
        )
        self.engine = GemmEngine(accelerator, self.slots)
        self.engine.listeners.append(self._count)
        shape = data.train.pixels.shape[1:]
        self.network = ResNet(self.description, config.seed)
        self.network.plan((config.batch_size, *shape), self.engine)
        self.memory_bytes = _taken(self.engine)
        self._check_memory(shape)
        self.optimiser = Sgd(
            dict(self.network.named_parameters()),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self._tally = self.training

    def _check_memory(self, shape: tuple[int, ...]) -> None:
        """Raise `OutOfDeviceMemory` before anything is allocated if a batch does not fit."""
        room = self.accelerator.free_bytes()
        if room is None or self.memory_bytes <= room:
            return

        def fits(batch: int) -> bool:
            engine = GemmEngine(self.accelerator, self.slots)
            ResNet(self.description).plan((batch, *shape), engine)
            return _taken(engine) <= room

        most = bisect.bisect_left(range(1, self.config.batch_size), True, key=lambda batch: not fits(batch))
        allowed = f"batch-size 1..{most}, or more memory" if most else "a smaller network, or more memory"
        raise OutOfDeviceMemory(
            f"{self.config.model} with batch-size {self.config.batch_size} needs "
            f"{self.memory_bytes / 2**20:.1f} MiB of contiguous memory, {room / 2**20:.1f} MiB are free; "
            f"allowed: {allowed}"
        )

    def train_step(self, batch: Images) -> StepReport:
        """Forward, backward and update for one batch, at the precision the plan gives."""
        fw, bw = self.bits()
        self.slots.set(FORWARD_SLOT, fw)
        self.slots.set(BACKWARD_SLOT, bw)
        self._start(self.training)
        context = StepContext(training=True, seed=self.config.seed, step=self.step)
        logits = self.network.forward(batch.pixels, context)
        loss, grad = softmax_cross_entropy(logits, batch.labels)
        self.network.backward(grad, context)
        lr = self.learning_rate()
        self.optimiser.step(lr)
        return self._report(loss, correct(logits, batch.labels), lr, batch)

    def evaluate(self) -> float:
        """Accuracy (0..1) on the test set at the configuration's ``evaluation_bits``."""
        self.slots.set(FORWARD_SLOT, self.config.evaluation_bits)
        self._start(self.evaluation)
        context = StepContext(training=False)
        hits = 0
        for pixels, labels in evaluation_batches(self.data.test, self.config.batch_size):
            logits = self.network.forward(pixels, context)
            hits += correct(logits[: len(labels)], labels)
        return hits / len(self.data.test)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copies of all arrays, and the counters: what `load_state` needs to go on bit for bit."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return arrays, self._counters()

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ContractError` if it is that of another model."""
        copy_arrays(arrays, self._arrays(), "training state")
        self._load_counters(counters)

    def weights_sha256(self) -> str:
        """Hash of the trained weights."""
        return self.network.weights_sha256()

    def _arrays(self) -> dict[str, np.ndarray]:
        velocity = {f"velocity.{name}": array for name, array in self.optimiser.velocity.items()}
        return {**{f"network.{name}": array for name, array in self.network.state().items()}, **velocity}

    def _start(self, tally: Tally) -> None:
        """Begin a step or an evaluation, counted in ``tally``, at the command ring's beginning.

        A program's cycles depend on where in the ring it lies: so they are the same after a resume.
        """
        self._tally = tally
        self.accelerator.soft_reset()

    def _count(self, run: GemmRun) -> None:
        self._tally.add(run)


def _taken(engine: GemmEngine) -> int:
    """Contiguous memory that the buffers of ``engine`` take."""
    return sum(map(whole_pages, engine.buffer_bytes()))
