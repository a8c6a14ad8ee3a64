"""What a training run is: one frozen, validated record, printed into every artefact."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from host.network import resnet_depth
from host.optimiser import learning_rate
from host.precision import check_bits
from hw.contract.config import require
from model.schedule import CyclicCosine, Plan, Static

GRANULARITIES = ("epoch", "iteration")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the trained weights, except the data and the code.

    Raises `ContractError` naming field, value and what is allowed.
    """

    model: str = "resnet8"
    width: int = 16
    """Channels of the first stage; the later ones have twice and four times as many."""
    fw: tuple[int, int] = (3, 8)
    """Lowest and highest bits of weights and activations; equal ones make the run static."""
    bw: int = 8
    """Bits of gradients."""
    cycles: int = 3
    """Precision cycles in the run (at most one per step of the schedule)."""
    per: str = "epoch"
    """What moves the precision: each ``epoch`` or each ``iteration``."""
    eval_bits: int = 0
    """Forward bits of evaluation; 0 stands for the upper bound."""
    epochs: int = 18
    steps: int = 0
    """If above 0: length of the run in steps instead of epochs; the precision then moves per step."""
    batch_size: int = 32
    lr: float = 0.1
    lr_schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    max_shift: int = 0
    """Pixels by which training images are moved at random."""
    seed: int = 0

    def __post_init__(self) -> None:
        resnet_depth(self.model)
        lo, hi = self.fw
        check_bits("fw", lo)
        check_bits("fw", hi)
        require(lo <= hi, f"fw is {lo} {hi}; allowed: the lower bound first, at most the upper one")
        check_bits("bw", self.bw)
        if self.eval_bits:
            check_bits("eval-bits", self.eval_bits)
        require(self.per in GRANULARITIES, f"per is {self.per!r}; allowed: {', '.join(GRANULARITIES)}")
        for name in ("width", "cycles", "epochs", "batch_size"):
            value = getattr(self, name)
            require(value >= 1, f"{name.replace('_', '-')} is {value}; allowed: at least 1")
        for name in ("steps", "max_shift", "seed"):
            value = getattr(self, name)
            require(value >= 0, f"{name.replace('_', '-')} is {value}; allowed: at least 0")
        require(self.seed < 2**32, f"seed is {self.seed}; allowed: 0..{2**32 - 1}")
        for name, least, most in (("lr", 0.0, 100.0), ("momentum", 0.0, 1.0), ("weight_decay", 0.0, 1.0)):
            value = getattr(self, name)
            require(
                math.isfinite(value) and least <= value <= most,
                f"{name.replace('_', '-')} is {value}; allowed: {least:g}..{most:g}",
            )
        learning_rate(self.lr_schedule, self.lr, 0.0)

    @property
    def evaluation_bits(self) -> int:
        """Forward bits of evaluation, stated with every accuracy."""
        return self.eval_bits or self.fw[1]

    def total_steps(self, steps_per_epoch: int) -> int:
        """Training steps of the whole run."""
        return self.steps or self.epochs * steps_per_epoch

    def per_epoch(self) -> bool:
        """Whether the precision moves with epochs."""
        return self.per == "epoch" and not self.steps

    def plan(self, steps_per_epoch: int) -> Plan:
        """The precision plan, over epochs or steps (`per_epoch`)."""
        lo, hi = self.fw
        length = self.epochs if self.per_epoch() else self.total_steps(steps_per_epoch)
        if lo == hi:
            return Plan(Static(hi), Static(self.bw))
        return Plan(CyclicCosine(lo, hi, length, min(self.cycles, length)), Static(self.bw))

    def static(self) -> TrainConfig:
        """The same run at the upper bound throughout."""
        return dataclasses.replace(self, fw=(self.fw[1], self.fw[1]))

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, as JSON has them."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def difference(self, other: dict[str, Any]) -> str | None:
        """The first field in which a recorded `as_dict` differs, as ``name recorded, here value``."""
        for name, value in self.as_dict().items():
            if other.get(name) != value:
                return f"{name} {other.get(name)}, here {value}"
        return None
