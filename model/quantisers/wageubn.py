"""WAGEUBN (Yang et al. 2020), in the form CPT compares with (docs/numerics.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from cpt.model.estimators import QuantiseGradient
from cpt.model.functional import Noise, Range
from cpt.model.golden import SAFE_FLOOR
from cpt.model.quantisers.base import Quantiser


class Wageubn(Quantiser):
    """Fixed-point weights and activations, errors scaled by a power of two.

    Batch norm is `cpt.model.layers.FixedPointBatchNorm2d`, the update `cpt.model.optimiser.FixedPointSGD`.
    ``flagged_errors``: errors in the paper's second format, which keeps small values by a flag bit.
    """

    least_bits = 2
    learnable_precision = False

    def __init__(self, flagged_errors: bool = False) -> None:
        self.flagged_errors = flagged_errors

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        limit = 1 - 2 / _steps(bits) / 2
        return RoundThrough.apply(w, _steps(bits)).clamp(-limit, limit)

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        return RoundThrough.apply(x, _steps(bits))

    def gradient(self, y: Tensor, bits: Tensor, key: Tensor | int, channels_first: bool) -> Tensor:
        return QuantiseGradient.apply(y, bits, None, channels_first, self._gradient_rule)

    def largest(self, grad: Tensor) -> Tensor:
        """Largest magnitude of a gradient (data parallel: of all processes' parts)."""
        return grad.abs().amax()

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        rule = flagged_error if self.flagged_errors else error
        return rule(grad, bits, self.largest(grad))


def _steps(bits: Tensor) -> Tensor:
    """2**(bits - 1) as float32: steps per unit."""
    return (1 << (bits - 1)).to(torch.float32)


def fixed_point(x: Tensor, steps: Tensor) -> Tensor:
    """``Q(x, k)``: the nearest multiple of 1/steps."""
    return x.mul(steps).round_().div_(steps)


def shift(x: Tensor) -> Tensor:
    """``2**round(log2 x)``: the nearest power of two, on a logarithmic scale."""
    return torch.exp2(torch.log2(x.clamp_min(SAFE_FLOOR)).round())


def error(grad: Tensor, bits: Tensor, largest: Tensor) -> Tensor:
    """``shift(m) * clip(Q(e/shift(m)), -1, 1)``, m the ``largest`` magnitude."""
    unit = shift(largest)
    return fixed_point(grad / unit, _steps(bits)).clamp_(-1, 1).mul_(unit)


def flagged_error(grad: Tensor, bits: Tensor, largest: Tensor) -> Tensor:
    """The second error format: below one step, a flag bit selects steps 2**(bits - 1) times finer."""
    step = shift(largest) / _steps(bits)
    scaled = grad / step
    limit = 2 * _steps(bits) - 1
    coarse = torch.minimum(torch.maximum(scaled.round(), -limit), limit)
    return torch.where(scaled.abs() < 1, fixed_point(scaled, _steps(bits)), coarse) * step


class RoundThrough(Function):
    """`fixed_point` with an identity gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Tensor) -> Tensor:
        return fixed_point(x, steps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0], None
