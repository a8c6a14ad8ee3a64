"""The compiled RTL repeats single training steps: same weights bit for bit, same cycles within tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cpt.host.config import TrainConfig
from cpt.host.counters import Counters
from cpt.host.course import Course
from cpt.host.data import Dataset, Images
from cpt.host.errors import HostError
from cpt.host.step_trainer import StepTrainer
from cpt.host.trainer import Trainer
from cpt.hw.contract.config import MATRIX, STEP
from cpt.trainers import Place

TOLERANCE = 0.02
"""Largest allowed difference of a program's cycles, fast model against RTL, relative to the RTL."""
PRESET = "tiny"
"""Array of the repeated steps: the numbers do not depend on it, the simulation's speed does."""


@dataclass(frozen=True)
class CheckedStep:
    """Outcome of one repeated step."""

    step: int
    fw: int
    bw: int
    differing: tuple[str, ...]
    """Arrays (weights, momentum, statistics) that are not the same bit for bit; empty if all are."""
    programs: int
    rtl_cycles: int
    model_cycles: int
    worst_error: float
    """Largest relative difference of a program's cycles."""
    busy_equal: bool
    """Whether every program's execute-busy cycles are the same; not asked of whole steps."""
    machine: str = MATRIX

    @property
    def passed(self) -> bool:
        """Whether everything agreed."""
        within = self.worst_error <= TOLERANCE
        return not self.differing and within and (self.busy_equal or self.machine == STEP)


@dataclass(frozen=True)
class _Snapshot:
    """A trainer's state around one step, and the step's batch."""

    batch: Images
    arrays: dict[str, np.ndarray]
    counters: dict[str, Any]
    after: dict[str, np.ndarray]
    bits: tuple[int, int]


class _Repeater:
    """A trainer on a simulated device, and what its last step took, a program at a time."""

    def __init__(self, trainer: Course) -> None:
        self.trainer = trainer
        self.counters: list[Counters] = []
        if isinstance(trainer, Trainer):
            trainer.engine.listeners.append(lambda run: self.counters.append(run.counters))

    def repeat(self, snapshot: _Snapshot) -> dict[str, np.ndarray]:
        """All arrays after the snapshot's step."""
        self.counters.clear()
        trainer = self.trainer
        trainer.load_state(snapshot.arrays, snapshot.counters)
        before = trainer.training_so_far()
        trainer.train_step(snapshot.batch)
        if isinstance(trainer, StepTrainer):
            took = trainer.training - before
            self.counters.append(Counters(total=took.total_cycles, exec_busy=took.busy_cycles))
        return trainer.state()[0]


class RtlCheck:
    """Repeats the first step of several epochs of a run on the compiled RTL, beside the run.

    One epoch for each of up to three precisions, from the lowest to the highest the plan visits. The work is
    done in a thread of its own; simulators run without the interpreter's lock. A context manager:
    call `before_step` and `after_step` around every step of the run, then `results`.
    """

    def __init__(self, config: TrainConfig, data: Dataset, memory: str, machine: str = MATRIX) -> None:
        self._config, self._data, self._memory, self._kind = config, data, memory, machine
        self._before: tuple[tuple[int, int], Images, dict[str, np.ndarray], dict[str, Any]] | None = None
        self._pool = ThreadPoolExecutor(1, "rtl-check")
        self._stack = ExitStack()
        self._machines: tuple[_Repeater, _Repeater] | None = None
        self._futures: list[Future[CheckedStep]] = []
        self._stopped = False

    def __enter__(self) -> RtlCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def before_step(self, trainer: Course, batch: Images) -> None:
        """Keep the state if the coming step is one to repeat."""
        if trainer.step in _chosen_steps(trainer):
            self._before = (trainer.bits(), batch, *trainer.state())

    def after_step(self, trainer: Course) -> None:
        """Hand a kept step over to be repeated."""
        if self._before:
            bits, batch, arrays, counters = self._before
            snapshot = _Snapshot(batch, arrays, counters, trainer.state()[0], bits)
            self._futures.append(self._pool.submit(self._repeat, snapshot))
            self._before = None

    def results(self) -> list[CheckedStep]:
        """Outcomes of all repeated steps, waiting for them; raises what a repetition raised."""
        return [future.result() for future in self._futures]

    def _machine(self, device: str) -> _Repeater:
        place = Place(self._kind, device, PRESET, self._memory)
        trainer, _ = self._stack.enter_context(place.open(self._config, self._data))
        if isinstance(trainer, Trainer):
            trainer.engine.listeners.append(lambda run: self._stop())
        elif isinstance(trainer, StepTrainer):
            trainer.listeners.append(self._stop)
        return _Repeater(trainer)

    def _stop(self) -> None:
        """End a repetition that nobody waits for any more."""
        if self._stopped:
            raise HostError("RTL check stopped")

    def _repeat(self, snapshot: _Snapshot) -> CheckedStep:
        if self._machines is None:
            self._machines = self._machine("rtl"), self._machine("fast")
        rtl, model = self._machines
        after = rtl.repeat(snapshot)
        model.repeat(snapshot)
        pairs = list(zip(rtl.counters, model.counters, strict=True))
        fw, bw = snapshot.bits
        return CheckedStep(
            step=int(snapshot.counters["step"]),
            fw=fw,
            bw=bw,
            differing=differing(after, snapshot.after),
            programs=len(pairs),
            rtl_cycles=sum(r.total for r, _ in pairs),
            model_cycles=sum(m.total for _, m in pairs),
            worst_error=max(abs(m.total - r.total) / r.total for r, m in pairs),
            busy_equal=all(r.exec_busy == m.exec_busy for r, m in pairs),
            machine=self._kind,
        )


def differing(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Names of arrays that are not the same bit for bit."""
    return tuple(name for name in left if left[name].tobytes() != right[name].tobytes())


def verdict(steps: list[CheckedStep]) -> str:
    """The outcome as a line."""
    if not steps:
        return f"RTL check ({PRESET}): none of the steps to repeat was in what this command trained"
    bits = ", ".join(f"FW{step.fw}/BW{step.bw}" for step in steps)
    failed = next((step for step in steps if not step.passed), None)
    if failed is None:
        worst = max(step.worst_error for step in steps)
        return (
            f"RTL check ({PRESET}): {len(steps)} steps repeated ({bits}): all weights identical, "
            f"cycles of {sum(step.programs for step in steps)} programs within {100 * worst:.2f} %"
        )
    return (
        f"RTL check ({PRESET}): FAILED at step {failed.step} (FW{failed.fw}/BW{failed.bw}): "
        f"{len(failed.differing)} arrays differ ({', '.join(failed.differing[:3]) or 'none'}), "
        f"worst cycle error {100 * failed.worst_error:.2f} % (allowed: {100 * TOLERANCE:g} %), "
        f"busy cycles {'equal' if failed.busy_equal else 'differ'}"
    )


def as_json(steps: list[CheckedStep]) -> dict[str, Any]:
    """The outcome as JSON-like values."""
    return {
        "preset": PRESET,
        "tolerance": TOLERANCE,
        "passed": all(step.passed for step in steps),
        "steps": [asdict(step) for step in steps],
    }


def _chosen_steps(trainer: Course) -> set[int]:
    """First step of the first epoch at the lowest, the middle and the highest precision of the plan."""
    first: dict[int, int] = {}
    epochs = range(-(-trainer.total_steps // trainer.steps_per_epoch))
    for epoch in epochs:
        step = epoch * trainer.steps_per_epoch
        fw, _ = trainer.plan.bits(epoch if trainer.config.per_epoch() else step)
        first.setdefault(fw, step)
    bits = sorted(first)
    return {first[bits[0]], first[bits[len(bits) // 2]], first[bits[-1]]}
