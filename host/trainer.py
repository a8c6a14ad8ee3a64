"""Training on the accelerator: a step, an epoch, evaluation, and the state that resumes bit for bit."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cpt.host.config import TrainConfig
from cpt.host.data import Dataset, Images, evaluation_batches, training_batches
from cpt.host.engine import GemmEngine, GemmRun
from cpt.host.errors import OutOfDeviceMemory
from cpt.host.layers import StepContext
from cpt.host.metrics import Tally
from cpt.host.network import ResNet, copy_arrays, resnet_depth
from cpt.host.optimiser import Sgd, learning_rate
from cpt.host.pages import whole_pages
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.hw.contract.config import require
from cpt.model import architecture
from cpt.model.loss import correct, softmax_cross_entropy

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator


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


class Trainer:
    """One network in training on one accelerator.

    Programs and buffers are made once, for the widest bits of the run; the precision is changed by writing
    slots. Weights, batch norm, loss and updates are float32 on the host, in a stated order of operations
    (docs/numerics.md): the same bits on every machine. Every step starts at the command ring's beginning.

    Raises `ContractError` if a batch does not fit the training set, `OutOfDeviceMemory` if it does not fit
    the accelerator's memory.
    """

    def __init__(self, config: TrainConfig, data: Dataset, accelerator: Accelerator) -> None:
        require(
            config.batch_size <= len(data.train),
            f"batch-size is {config.batch_size}; allowed: 1..{len(data.train)} (training images)",
        )
        self.config, self.data, self.accelerator = config, data, accelerator
        self.steps_per_epoch = len(data.train) // config.batch_size
        self.total_steps = config.total_steps(self.steps_per_epoch)
        self.plan = config.plan(self.steps_per_epoch)
        self.slots = PrecisionSlots(
            {FORWARD_SLOT: max(config.fw[1], config.evaluation_bits), BACKWARD_SLOT: config.bw},
            lambda slot, bits: accelerator.set_slot(slot, bits, False),
        )
        self.engine = GemmEngine(accelerator, self.slots)
        self.engine.listeners.append(self._count)
        shape = data.train.pixels.shape[1:]
        height, width, channels = shape
        description = architecture.cifar_resnet(
            resnet_depth(config.model), data.classes, (height, width), channels, config.width
        )
        self.network = ResNet(description, config.seed)
        self.network.plan((config.batch_size, *shape), self.engine)
        self.memory_bytes = _taken(self.engine)
        """Contiguous memory that training takes, beside the command ring."""
        self._check_memory(description, shape)
        self.optimiser = Sgd(
            dict(self.network.named_parameters()),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.step = 0
        self.bit_products = 0
        """Sum over training steps of ``fw**2 + 2*fw*bw``."""
        self.training, self.evaluation = Tally(), Tally()
        self._tally = self.training

    def _check_memory(self, description: architecture.ResNet, shape: tuple[int, ...]) -> None:
        """Raise `OutOfDeviceMemory` before anything is allocated if a batch does not fit."""
        room = self.accelerator.free_bytes()
        if room is None or self.memory_bytes <= room:
            return

        def fits(batch: int) -> bool:
            engine = GemmEngine(self.accelerator, self.slots)
            ResNet(description).plan((batch, *shape), engine)
            return _taken(engine) <= room

        most = bisect.bisect_left(range(1, self.config.batch_size), True, key=lambda batch: not fits(batch))
        allowed = f"batch-size 1..{most}, or more memory" if most else "a smaller network, or more memory"
        raise OutOfDeviceMemory(
            f"{self.config.model} with batch-size {self.config.batch_size} needs "
            f"{self.memory_bytes / 2**20:.1f} MiB of contiguous memory, {room / 2**20:.1f} MiB are free; "
            f"allowed: {allowed}"
        )

    @property
    def epoch(self) -> int:
        """Epoch of the next step."""
        return self.step // self.steps_per_epoch

    def bits(self) -> tuple[int, int]:
        """(fw, bw) of the next step."""
        return self.plan.bits(self.epoch if self.config.per_epoch() else self.step)

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
        lr = learning_rate(self.config.lr_schedule, self.config.lr, self.step / self.total_steps)
        self.optimiser.step(lr)
        report = StepReport(
            self.step, self.epoch, fw, bw, lr, loss, correct(logits, batch.labels), len(batch)
        )
        self.bit_products += fw * fw + 2 * fw * bw
        self.step += 1
        return report

    def epoch_batches(self) -> list[Images]:
        """What is left of the current epoch, or of the run if that ends first."""
        done = self.step % self.steps_per_epoch
        config = self.config
        batches = training_batches(
            self.data.train,
            config.batch_size,
            seed=config.seed,
            epoch=self.epoch,
            max_shift=config.max_shift,
            skip=done,
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
        counters = {
            "step": self.step,
            "bit_products": self.bit_products,
            "training": self.training.as_dict(),
            "evaluation": self.evaluation.as_dict(),
        }
        return arrays, counters

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ContractError` if it is that of another model."""
        copy_arrays(arrays, self._arrays(), "training state")
        self.step = int(counters["step"])
        self.bit_products = int(counters["bit_products"])
        self.training.load(counters["training"])
        self.evaluation.load(counters["evaluation"])

    def training_so_far(self) -> Tally:
        """A copy of the training tally."""
        return replace(self.training)

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
