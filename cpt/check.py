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
from cpt.host.data import Dataset, Images
from cpt.host.errors import HostError
from cpt.host.trainer import Trainer
from cpt.sim.step import TOLERANCE
from cpt.trainers import Place

IMAGES = 4
"""Of a batch, that a whole step is repeated with; a step of all takes minutes on the RTL of ``tiny``."""
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
    rtl_cycles: int
    model_cycles: int
    images: int | None = None
    """Of the batch; None: all."""

    @property
    def error(self) -> float:
        """Relative difference of the cycles, fast model against RTL."""
        return abs(self.model_cycles - self.rtl_cycles) / self.rtl_cycles

    @property
    def passed(self) -> bool:
        """Whether everything agreed."""
        return not self.differing and self.error <= TOLERANCE


@dataclass(frozen=True)
class _Before:
    """A trainer's state before a step, and what the step is given."""

    batch: Images
    bits: tuple[int, int]
    lr: float
    arrays: dict[str, np.ndarray]
    counters: dict[str, Any]


def _repeated(trainer: Trainer, before: _Before) -> tuple[dict[str, np.ndarray], Counters]:
    """All arrays after the step, and what it took."""
    trainer.load_state(before.arrays, before.counters)
    _, took = trainer.one_step(before.batch, before.bits, before.lr)
    return trainer.state()[0], took


class RtlCheck:
    """Repeats the first step of several epochs of a run on the compiled RTL, beside the run.

    One epoch for each of up to three precisions, from the lowest to the highest the plan visits. The work is
    done in a thread of its own; simulators run without the interpreter's lock. A context manager:
    call `before_step` and `after_step` around every step of the run, then `results`.

    A step of a larger batch than `IMAGES` is repeated with so many of them, from the run's state, at the
    lowest and highest precision, and compared with the golden functions' step of the same ones.
    """

    def __init__(self, config: TrainConfig, data: Dataset, memory: str) -> None:
        self._data, self._memory = data, memory
        self._images = IMAGES if config.batch_size > IMAGES else None
        self._config = config.replace(batch_size=self._images, micro_batch=0) if self._images else config
        self._before: _Before | None = None
        self._pool = ThreadPoolExecutor(1, "rtl-check")
        self._stack = ExitStack()
        self._machines: tuple[Trainer, Trainer] | None = None
        self._futures: list[Future[CheckedStep]] = []
        self._stopped = False

    def __enter__(self) -> RtlCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def before_step(self, trainer: Trainer, batch: Images) -> None:
        """Keep the state if the coming step is one to repeat."""
        if trainer.step in _chosen_steps(trainer, 2 if self._images else 3):
            some = Images(batch.pixels[: self._images], batch.labels[: self._images])
            self._before = _Before(some, trainer.bits(), trainer.learning_rate(), *trainer.state())

    def after_step(self, trainer: Trainer) -> None:
        """Hand a kept step over to be repeated."""
        if self._before:
            after = None if self._images else trainer.state()[0]
            self._futures.append(self._pool.submit(self._repeat, self._before, after))
            self._before = None

    def results(self) -> list[CheckedStep]:
        """Outcomes of all repeated steps, waiting for them; raises what a repetition raised."""
        return [future.result() for future in self._futures]

    def _machine(self, device: str) -> Trainer:
        place = Place(device, PRESET, self._memory)
        trainer, _ = self._stack.enter_context(place.open(self._config, self._data))
        trainer.listeners.append(self._stop)
        return trainer

    def _stop(self) -> None:
        """End a repetition that nobody waits for any more."""
        if self._stopped:
            raise HostError("RTL check stopped")

    def _repeat(self, before: _Before, after: dict[str, np.ndarray] | None) -> CheckedStep:
        """``after``: arrays that the run's own step left; None: that step had other images."""
        if self._machines is None:
            self._machines = self._machine("rtl"), self._machine("fast")
        (found, took), (expected, forecast) = (_repeated(machine, before) for machine in self._machines)
        fw, bw = before.bits
        return CheckedStep(
            step=int(before.counters["step"]),
            fw=fw,
            bw=bw,
            differing=differing(found, after or expected),
            rtl_cycles=took.total,
            model_cycles=forecast.total,
            images=self._images,
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
        worst = max(step.error for step in steps)
        images = steps[0].images
        what = f" with {images} images" if images else ""
        return (
            f"RTL check ({PRESET}): {len(steps)} steps repeated{what} ({bits}): all weights identical, "
            f"cycles within {100 * worst:.2f} %"
        )
    return (
        f"RTL check ({PRESET}): FAILED at step {failed.step} (FW{failed.fw}/BW{failed.bw}): "
        f"{len(failed.differing)} arrays differ ({', '.join(failed.differing[:3]) or 'none'}), "
        f"cycle error {100 * failed.error:.2f} % (allowed: {100 * TOLERANCE:g} %)"
    )


def as_json(steps: list[CheckedStep]) -> dict[str, Any]:
    """The outcome as JSON-like values."""
    return {
        "preset": PRESET,
        "tolerance": TOLERANCE,
        "passed": all(step.passed for step in steps),
        "steps": [asdict(step) for step in steps],
    }


def _chosen_steps(trainer: Trainer, most: int) -> set[int]:
    """First step of the first epoch at the lowest, the highest, and of ``most`` 3 the middle precision."""
    first: dict[int, int] = {}
    epochs = range(-(-trainer.total_steps // trainer.steps_per_epoch))
    for epoch in epochs:
        step = epoch * trainer.steps_per_epoch
        fw, _ = trainer.plan.bits(epoch if trainer.config.per_epoch() else step)
        first.setdefault(fw, step)
    bits = sorted(first)
    chosen = (bits[0], bits[-1], bits[len(bits) // 2])[:most]
    return {first[fw] for fw in chosen}
