"""Training in torch: a step, an epoch, evaluation, and the state that resumes bit for bit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cpt.model.data.order import DROPOUT_STREAM
from cpt.model.guard import check_step
from cpt.model.health import NumericHealth
from cpt.model.layer_precisions import precision
from cpt.model.layers import NonFiniteInput
from cpt.model.micro_batch import set_micro_batches
from cpt.model.noise import noise_key
from cpt.model.quantize import quantize_
from cpt.model.training import state
from cpt.model.training.averaging import WeightAverage
from cpt.model.training.config import TorchConfig
from cpt.model.training.distributed import Processes
from cpt.model.training.learning_rate import LearningRate
from cpt.model.training.methods import make_method
from cpt.model.training.networks import build_network
from cpt.model.training.prefetch import prefetched
from cpt.model.training.tasks import Outcome, Task, joined, parts_of
from cpt.model.training.work import WorkCounter

RECALIBRATION_STEPS = 100
"""Training batches that batch norm and ranges are measured on for averaged weights."""


@dataclass(frozen=True)
class StepReport:
    """What a step did; ``loss`` is the mean over its batch. Bits are means over layers where they differ."""

    step: int
    epoch: int
    fw: float
    bw: float
    lr: float
    loss: float


class TorchTrainer:
    """One network in training.

    Args:
        config, task: what is trained on what.
        processes: where; a run under ``torchrun`` has several.
        workers: threads that load data ahead.
        compiled: training steps run through ``torch.compile``, which fuses the quantisers' passes over
            memory; sums then differ in their last bits.
        health: steps from one whose numeric health is measured to the next; 0: none is.

    Raises `ValueError` in one line for a batch or a network that does not fit the task.
    """

    def __init__(
        self,
        config: TorchConfig,
        task: Task,
        processes: Processes | None = None,
        workers: int = 0,
        compiled: bool = False,
        health: int = 0,
    ) -> None:
        self.config, self.task, self.workers = config, task, workers
        self.processes = processes or Processes(torch.device("cpu"))
        self.processes.check_batch(config.batch_size)
        self.processes.check_batch(config.micro_batch, "micro-batch")
        if compiled and self.processes.world > 1:
            raise ValueError(f"compile is given with {self.processes.world} processes; allowed: 1 process")
        self.steps_per_epoch = task.steps_per_epoch(config.batch_size)
        if not self.steps_per_epoch:
            raise ValueError(
                f"batch-size is {config.batch_size}; allowed: 1..{task.train_count} (training samples)"
            )
        self.total_steps = config.total_steps(self.steps_per_epoch)
        self.rate = LearningRate(
            config.lr_schedule,
            config.lr,
            self.total_steps,
            config.lr_cycles,
            config.warmup_steps,
            config.lr_drop_epochs * self.steps_per_epoch,
            config.lr_drops,
            config.lr_drop_ratio,
            config.warmup_lr,
        )
        torch.manual_seed(config.seed)
        model = quantize_(build_network(config, task), config.quantisation())
        self.work = WorkCounter(model, task.example())
        self.processes.share(model)
        set_micro_batches(model, config.micro_batches)
        self.model = model.to(self.processes.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = torch.compile(self.model) if compiled else self.model  # type: ignore[assignment]
        """What training steps run through: `model`, or its compiled form."""
        self.method = make_method(config, self.model, self.work.macs, self.steps_per_epoch)
        self.weights = self.method.weights(self.model)
        self.optimiser = _optimiser(config, self.model, self.weights)
        self.health = NumericHealth(self.model, health) if health else None
        self.average = WeightAverage()
        self.carried: tuple[Tensor, ...] | None = None
        self.step = 0
        self.sums: Counter[str] = Counter()
        """Of the epoch so far: ``loss``, ``count``, ``steps``, ``fw`` and what the task counts."""

    @property
    def epoch(self) -> int:
        """Epoch of the next step."""
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self.step >= self.total_steps

    def train_epoch(
        self,
        on_step: Callable[[StepReport], None] = lambda report: None,
    ) -> dict[str, float]:
        """Train what is left of the current epoch, or of the run; the epoch's means."""
        epoch, first = self.epoch, self.step % self.steps_per_epoch
        order = self.task.epoch_order(self.config.batch_size, self.config.seed, epoch)
        parts = [self.own_part(index) for index in order[first:]][: self.total_steps - self.step]

        def load(index: np.ndarray) -> tuple[Tensor, Tensor]:
            return _tensors(self.task.train_batch(index, self.config.seed, epoch))

        for inputs, targets in prefetched(load, parts, self.workers):
            on_step(self.train_step(inputs, targets))
        return self._end_epoch()

    def own_part(self, index: np.ndarray) -> np.ndarray:
        """This process's part of a batch: its parts of the micro-batches, in order."""
        parts = np.split(index, self.config.micro_batches)
        return np.concatenate([self.processes.part(part) for part in parts])

    def train_step(self, inputs: Tensor, targets: Tensor) -> StepReport:
        """Forward, backward and update for this process's part of a batch, at the precision in force.

        Gradients of the micro-batches add up in order, each of its share of the batch's mean loss.
        Raises `TrainingDiverged` before anything is updated if the loss or a gradient is not finite.
        """
        config, processes, epoch = self.config, self.processes, self.epoch
        inputs, targets = inputs.to(processes.device), targets.to(processes.device)
        bits = self.method.bits()
        check = partial(
            check_step, self.model, self.step, forward=lambda: [*self._forwards(self.model, inputs, targets)]
        )
        self.optimiser.zero_grad()
        outcomes = []
        try:
            for outcome in self._forwards(self.network, inputs, targets):
                count = outcome.sums["count"] * (processes.world * config.micro_batches)
                (outcome.sums["loss"] / count).backward()
                outcomes.append(outcome.detached())
        except NonFiniteInput:  # before there is a loss; the guard names the layer that it comes from
            check(math.nan, 0.0)
            raise
        processes.sum_gradients(list(self.model.parameters()))
        whole = joined(outcomes)
        sums = processes.sum_(torch.stack([value.double() for value in whole.sums.values()]))
        norm = nn.utils.get_total_norm([p.grad for p in self.weights if p.grad is not None])
        *values, size = torch.cat((sums, norm.double()[None])).tolist()
        found = dict(zip(whole.sums, values, strict=True))
        loss = found["loss"] / found["count"]
        check(loss, size)
        self.carried = whole.carried
        self.method.after_backward()
        if config.clip:
            nn.utils.clip_grads_with_norm_(self.weights, config.clip, norm)
        rate = self.rate.at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.work.add(bits, config.batch_size)
        fw, bw = (sum(pair[i] for pair in bits.values()) / len(bits) for i in range(2))
        self.sums.update({**found, "steps": 1, "fw": fw})
        self.step += 1
        self.method.after_step()
        if self.health:
            self.health.step()
        return StepReport(self.step - 1, epoch, fw, bw, rate, loss)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The task's figures on the test set, at the configuration's ``evaluation_bits``."""
        task, processes, batch = self.task, self.processes, self.config.batch_size
        steps = task.test_steps(batch)
        own = range(steps) if task.carries else range(processes.rank, steps, processes.world)
        if steps < (1 if task.carries else processes.world):
            raise ValueError(f"batch-size is {batch}; allowed: so small that every process gets test data")
        sums: dict[str, Tensor] = {}
        carried = None
        self.model.eval()
        bits = self.config.evaluation_bits
        with precision(self.model, fw=bits) if bits is not None else nullcontext():
            for inputs, targets in prefetched(
                lambda number: _tensors(task.test_batch(number, batch)), own, self.workers
            ):
                outcome = task.outcome(
                    self.model, inputs.to(processes.device), targets.to(processes.device), carried
                )
                carried = outcome.carried
                for name, value in outcome.sums.items():
                    sums[name] = sums.get(name, 0) + value.double()
        total = torch.stack(list(sums.values()))
        if not task.carries:
            processes.sum_(total)
        return task.metrics(dict(zip(sums, total.tolist(), strict=True)))

    def evaluate_average(self) -> dict[str, float]:
        """`evaluate` with the averaged weights; the model is as before afterwards."""
        with self.average.applied(self.model, self._recalibrate):
            return self.evaluate()

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copies of all arrays, and the counters: what `load_state` needs to go on bit for bit."""
        carried = {str(i): self.processes.gather(x, 1) for i, x in enumerate(self.carried or ())}
        arrays = {
            **state.named("model", {k: state.to_array(v) for k, v in self.model.state_dict().items()}),
            **state.named("optimiser", state.optimiser_arrays(self.optimiser)),
            **state.named("average", {k: state.to_array(v) for k, v in self.average.mean.items()}),
            **state.named("carried", {k: state.to_array(v) for k, v in carried.items()}),
            **state.named("method", {k: state.to_array(v) for k, v in self.method.arrays().items()}),
        }
        counters = {
            "step": self.step,
            "sums": dict(self.sums),
            "work": self.work.done,
            "averaged": self.average.count,
            "method": self.method.state_dict(),
            **({"health": self.health.state_dict()} if self.health else {}),
        }
        return arrays, counters

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ValueError` if it is that of another model."""
        state.load_model(self.model, state.under("model", arrays))
        state.load_optimiser(self.optimiser, state.under("optimiser", arrays))
        parameters = dict(self.model.named_parameters())
        mean = state.under("average", arrays)
        self.average.load(
            int(counters["averaged"]), {k: state.restored(v, parameters[k]) for k, v in mean.items()}
        )
        carried = state.under("carried", arrays)
        self.carried = tuple(self._own_state(carried[key]) for key in sorted(carried)) or None
        self.method.load_state_dict(counters["method"])
        kept = state.under("method", arrays)
        device = self.processes.device
        self.method.load_arrays({k: torch.from_numpy(v.copy()).to(device) for k, v in kept.items()})
        self.step = int(counters["step"])
        if self.health:
            self.health.load_state_dict(counters.get("health", {"step": self.step, "rows": []}))
        self.work.done = int(counters["work"])
        self.sums = Counter(counters["sums"])

    def _forwards(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Iterator[Outcome]:
        """The training forward pass of every micro-batch; dropout follows seed, micro-batch and process."""
        count, amp = self.config.micro_batches, self.config.amp == "bf16"
        self.model.train()
        for number, (x, y, carried) in enumerate(parts_of(inputs, targets, self.carried, count)):
            seed = noise_key(self.config.seed, self.step * count + number, DROPOUT_STREAM)
            torch.manual_seed(seed + self.processes.rank)
            with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=amp):
                outcome = self.task.outcome(model, x, y, carried)
            yield outcome

    def _end_epoch(self) -> dict[str, float]:
        sums = self.sums
        means = {f"train_{key}": value for key, value in self.task.metrics(sums).items()}
        means["fw_mean"] = sums["fw"] / sums["steps"]
        self.method.after_epoch(means["train_loss"])
        if self.config.swa_start and self.step >= self.config.swa_start * self.total_steps:
            self.average.update(self.model)
        self.sums, self.carried = Counter(), None
        return means

    def _recalibrate(self) -> None:
        order = self.task.epoch_order(self.config.batch_size, self.config.seed, self.epoch)
        count, device = self.config.micro_batches, self.processes.device
        carried = None
        for number in range(RECALIBRATION_STEPS):
            part = self.own_part(order[number % len(order)])
            inputs, targets = _tensors(self.task.train_batch(part, self.config.seed, self.epoch))
            parts = parts_of(inputs.to(device), targets.to(device), carried, count)
            carried = joined([self.task.outcome(self.model, *part) for part in parts]).carried

    def _own_state(self, array: np.ndarray) -> Tensor:
        """This process's part of a carried state (layers, batch, width)."""
        own = self.processes.part(np.arange(array.shape[1]))
        return torch.from_numpy(array[:, own].copy()).to(self.processes.device)


def _tensors(arrays: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Copies in torch's own memory, whose alignment is always the same: some kernels round by it."""
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(array)).clone() for array in arrays)
    return inputs, targets


def _optimiser(config: TorchConfig, model: nn.Module, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    plug = config.quantisation().plug
    own = plug.optimiser(model, weights, config.lr, config.momentum, config.weight_decay, config.seed)
    if own is not None:
        return own
    if config.optimiser == "sgd":
        return torch.optim.SGD(weights, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(weights, config.lr, weight_decay=config.weight_decay)
