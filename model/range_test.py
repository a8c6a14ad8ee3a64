"""Precision range test: how few bits the network still learns at (CPT section 3.3; docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from cpt.model.layer_precisions import precision, set_precision
from cpt.model.schedule import check_bits, hold_ints


@dataclass(frozen=True)
class RangeTest:
    """Settings of the test. Neither threshold nor window was published; these are this library's.

    Training starts at the lowest bits and goes on while they rise, as in a learning-rate range test. A
    precision's *improvement* is the training accuracy over its last ``window`` steps minus that of the
    precision before (of ``chance`` for the first). The lower bound is the first whose improvement reaches
    ``threshold``.
    """

    bits: tuple[int, int] = (2, 8)
    steps: int = 100
    """Training steps at each precision."""
    window: int = 20
    """Steps at the end of each precision that its accuracy is the mean of."""
    threshold: float = 0.05
    """Improvement in accuracy, as a share of 1."""
    chance: float = 0.1
    """Accuracy of guessing: 1 / classes."""
    bw: int = 8

    def __post_init__(self) -> None:
        lo, hi = self.bits
        lo, hi = check_bits("lo", lo), check_bits("hi", hi)
        object.__setattr__(self, "bits", (lo, hi))
        hold_ints(self, bw=check_bits("bw", self.bw))
        if lo > hi:
            raise ValueError(f"lo is {lo}; allowed: at most hi ({hi})")
        if not 1 <= self.window <= self.steps:
            raise ValueError(f"window is {self.window}; allowed: 1..steps ({self.steps})")

    def run(self, model: nn.Module, train_step: Callable[[], float]) -> RangeTestResult:
        """Train ``model`` by calls of ``train_step``, which gives the batch's training accuracy (0..1).

        The model's bits are as before afterwards, its weights are trained.
        """
        curve: list[tuple[int, float]] = []
        accuracies: list[float] = []
        lo, hi = self.bits
        with precision(model, lo, self.bw):
            for bits in range(lo, hi + 1):
                set_precision(model, fw=bits)
                found = [train_step() for _ in range(self.steps)]
                curve += [(bits, accuracy) for accuracy in found]
                accuracies.append(sum(found[-self.window :]) / self.window)
        return RangeTestResult(self, tuple(curve), tuple(accuracies))


@dataclass(frozen=True)
class RangeTestResult:
    """What the test saw."""

    settings: RangeTest
    curve: tuple[tuple[int, float], ...]
    """(bits, training accuracy) of every step."""
    accuracies: tuple[float, ...]
    """Accuracy of each precision, lowest first."""

    @property
    def improvements(self) -> tuple[float, ...]:
        """Gain of each precision over the one before."""
        before = (self.settings.chance, *self.accuracies[:-1])
        return tuple(after - first for first, after in zip(before, self.accuracies, strict=True))

    @property
    def lower_bound(self) -> int:
        """First precision whose improvement reaches the threshold; the highest tested if none does."""
        lo, hi = self.settings.bits
        gains = self.improvements
        return next((lo + i for i, gain in enumerate(gains) if gain >= self.settings.threshold), hi)

    @property
    def passed(self) -> bool:
        """Whether any precision's improvement reaches the threshold."""
        return max(self.improvements) >= self.settings.threshold
