"""What a training run is: one frozen, validated record, printed into every artefact."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from cpt.host.learning_rate import learning_rate
from cpt.hw.contract import ContractError
from cpt.hw.contract.config import MAX_BITS, require
from cpt.model.architecture.resnet import DEEPEST
from cpt.model.cyclic import cyclic
from cpt.model.run_config import RunConfig
from cpt.model.schedule import Plan, Static

MICRO_BATCH = 16
"""Images of a micro-batch unless told otherwise; fewer where they do not divide the batch."""


def check_bits(name: str, bits: int) -> int:
    """``bits``, if the machine has codes of so many; raises `ContractError` naming ``name`` otherwise."""
    if not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise ContractError(f"{name} is {bits!r} bits; allowed: 1..{MAX_BITS}")
    return bits


def resnet_depth(name: str) -> int:
    """Depth of ``resnetD``; raises `ContractError` unless D = 6n+2 with n >= 1."""
    match = re.fullmatch(r"resnet(\d{1,4})", name)
    depth = int(match[1]) if match else 0
    if not 8 <= depth <= DEEPEST or (depth - 2) % 6:
        raise ContractError(f"model is {name!r}; allowed: resnetD with D = 6n+2 (resnet8, resnet20, ...)")
    return depth


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Everything that decides the trained weights, except the data and the code.

    Raises `ContractError` naming field, value and what is allowed.
    """

    error = ContractError
    check_bits = staticmethod(check_bits)

    model: str = "resnet8"
    width: int = 16
    """Channels of the first stage; the later ones have twice and four times as many."""
    fw: tuple[int, int] = (3, 8)
    """Lowest and highest bits of weights and activations; equal ones make the run static."""
    bw: int = 8
    """Bits of gradients."""
    cycles: int = 3
    """Precision cycles in the run (at most one per step of the schedule)."""
    shape: str = "cosine"
    """Of the cycles: one of `cpt.model.cyclic.SHAPES`; ``cosine`` is CPT's."""
    per: str = "epoch"
    """What moves the precision: each ``epoch`` or each ``iteration``."""
    eval_bits: int = 0
    """Forward bits of evaluation; 0 stands for the upper bound."""
    epochs: int = 18
    steps: int = 0
    """If above 0: length of the run in steps instead of epochs; the precision then moves per step."""
    batch_size: int = 32
    micro_batch: int = 0
    """Images of a micro-batch; 0: the usual."""
    lr: float = 0.1
    lr_schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    max_shift: int = 0
    """Pixels by which training images are moved at random."""
    seed: int = 0

    def __post_init__(self) -> None:
        resnet_depth(self.model)
        self._at_least(0, "seed", "micro_batch")
        super().__post_init__()
        check_bits("bw", self.bw)
        learning_rate(self.lr_schedule, self.lr, 0.0)

    @property
    def evaluation_bits(self) -> int:
        """Forward bits of evaluation, stated with every accuracy."""
        return self.eval_bits or self.fw[1]

    @property
    def widest(self) -> int:
        """The most bits that codes have, in training or evaluation."""
        return max(self.fw[1], self.bw, self.evaluation_bits)

    def plan(self, steps_per_epoch: int) -> Plan:
        """The precision plan, over epochs or steps (`per_epoch`)."""
        length = self.plan_length(steps_per_epoch)
        fw = cyclic(self.shape, self.fw, min(self.cycles, length), length)
        return Plan(fw, Static(self.bw))

    def replace(self, **changes: Any) -> TrainConfig:
        """The same but for ``changes``."""
        return dataclasses.replace(self, **changes)

    def static(self) -> TrainConfig:
        """The same run at the upper bound throughout."""
        return self.replace(fw=(self.fw[1], self.fw[1]))


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
