"""What the records of a training run share: checks, the length of the run, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from cpt.model.cyclic import check_shape
from cpt.model.schedule import UNITS, check_bits

LARGEST = {
    "width": 4096,
    "cycles": 1_000_000,
    "epochs": 1_000_000,
    "batch_size": 65_536,
    "steps": 100_000_000,
    "max_shift": 1_000,
}
"""What no machine goes beyond: far from any use, and near enough not to end in a lack of memory or a hang."""


class RunConfig:
    """Base of frozen dataclasses that have at least these fields (`TrainConfig`, `TorchConfig`).

    A value that is not allowed raises ``error`` naming field, value and what is allowed.
    """

    error = ValueError

    fw: tuple[int, int]
    width: int
    cycles: int
    shape: str
    per: str
    eval_bits: int
    epochs: int
    steps: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    max_shift: int
    seed: int

    def __post_init__(self) -> None:
        self._bounds("fw")
        if self.eval_bits:
            self.check_bits("eval-bits", self.eval_bits)
        self._one_of(per=UNITS)
        try:
            check_shape(self.shape)
        except ValueError as error:
            raise self.error(str(error)) from None
        self._at_least(1, "width", "cycles", "epochs", "batch_size")
        self._at_least(0, "steps", "max_shift")
        for name, most in LARGEST.items():
            self._require(name, getattr(self, name) <= most, f"at most {most:,}")
        self._require("seed", 0 <= self.seed < 2**32, f"0..{2**32 - 1}")
        self._at_most(lr=100.0, momentum=1.0, weight_decay=1.0)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Training steps of the whole run."""
        return self.steps or self.epochs * steps_per_epoch

    def per_epoch(self) -> bool:
        """Whether the precision moves with epochs."""
        return self.per == "epoch" and not self.steps

    def plan_length(self, steps_per_epoch: int) -> int:
        """Epochs or steps of the precision plan (`per_epoch`)."""
        return self.epochs if self.per_epoch() else self.total_steps(steps_per_epoch)

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, as JSON has them."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }

    def difference(self, other: Mapping[str, Any]) -> str | None:
        """The first field in which a recorded `as_dict` differs, as ``name recorded, here value``.

        A field that the record lacks, of an earlier version, had what is its default now.
        """
        recorded = {**type(self)().as_dict(), **other}
        for name, value in self.as_dict().items():
            if recorded[name] != value:
                return f"{name} {recorded[name]}, here {value}"
        return None

    @staticmethod
    def check_bits(name: str, bits: int) -> int:
        """``bits``, if operands may have as many; raises ``error`` otherwise."""
        check_bits(name, bits)
        return bits

    def _bounds(self, name: str) -> None:
        lo, hi = getattr(self, name)
        self.check_bits(name, lo)
        self.check_bits(name, hi)
        if lo > hi:
            raise self.error(f"{name} is {lo} {hi}; allowed: the lower bound first, at most the upper one")

    def _one_of(self, **allowed: Collection[str]) -> None:
        for name, values in allowed.items():
            self._require(name, getattr(self, name) in values, ", ".join(values))

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            self._require(name, getattr(self, name) >= least, f"at least {least}")

    def _at_most(self, **highest: float) -> None:
        for name, most in highest.items():
            value = getattr(self, name)
            allowed = f"0..{most:g}" if math.isfinite(most) else "a number of at least 0"
            self._require(name, math.isfinite(value) and 0 <= value <= most, allowed)

    def _require(self, name: str, condition: bool, allowed: str) -> None:
        if not condition:
            shown = getattr(self, name)
            shown = repr(shown) if isinstance(shown, str) else shown
            raise self.error(f"{name.replace('_', '-')} is {shown}; allowed: {allowed}")
