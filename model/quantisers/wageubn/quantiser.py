"""WAGEUBN (Yang et al. 2020), in the form CPT compares with (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cpt.model.functional import Noise, Range
from cpt.model.quantisers.base import Batch, Quantiser, Replace
from cpt.model.quantisers.registry import register_quantiser
from cpt.model.quantisers.wageubn.arithmetic import RoundThrough, error, flagged_error, steps_per_unit
from cpt.model.quantisers.wageubn.optimiser import FixedPointSGD


@register_quantiser("wageubn")
@dataclass(frozen=True)
class Wageubn(Quantiser):
    """Fixed-point weights and activations, errors scaled by a power of two.

    Batch norm becomes `FixedPointBatchNorm2d`, the weights' update is `FixedPointSGD`.
    """

    flagged_errors: bool = False
    """Errors in the paper's second format, which keeps small values by a flag bit."""

    title: ClassVar[str] = "WAGEUBN"
    least_bits: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    optimiser_kind: ClassVar[str] = "sgd"
    stated: ClassVar[Mapping[str, str]] = {"update": "normalised"}
    """Since the update is its authors' code's: runs of before do not go on."""

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        steps = steps_per_unit(bits)
        return RoundThrough.apply(w, steps, 1 - 1 / steps)

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        return RoundThrough.apply(x, steps_per_unit(bits))

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        rule = flagged_error if self.flagged_errors else error
        return rule(grad, bits, batch.largest(grad.abs().amax()))

    def replacements(self) -> Mapping[type[nn.Module], Replace]:
        # Here, because it is made of what layers are made of, and those know quantisers.
        from cpt.model.quantisers.wageubn.batch_norm import FixedPointBatchNorm2d

        return {nn.BatchNorm2d: FixedPointBatchNorm2d.from_float}

    def optimiser(
        self,
        model: nn.Module,
        weights: Sequence[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        seed: int,
    ) -> torch.optim.Optimizer:
        return FixedPointSGD.of(model, weights, lr, momentum, weight_decay, seed)
