"""WAGEUBN's fixed-point arithmetic (docs/numerics.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from cpt.model.golden import SAFE_FLOOR


def steps_per_unit(bits: Tensor) -> Tensor:
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
    return fixed_point(grad / unit, steps_per_unit(bits)).clamp_(-1, 1).mul_(unit)


def flagged_error(grad: Tensor, bits: Tensor, largest: Tensor) -> Tensor:
    """The second error format: below one step, a flag bit selects steps 2**(bits - 1) times finer."""
    step = shift(largest) / steps_per_unit(bits)
    scaled = grad / step
    limit = steps_per_unit(bits) - 1
    coarse = torch.minimum(torch.maximum(scaled.round(), -limit), limit)
    return torch.where(scaled.abs() < 1, fixed_point(scaled, steps_per_unit(bits)), coarse) * step


class RoundThrough(Function):
    """`fixed_point`, cut to +-``limit`` where there is one, with an identity gradient, also outside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Tensor, limit: Tensor | None = None) -> Tensor:
        out = fixed_point(x, steps)
        return out if limit is None else out.clamp_(-limit, limit)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0], None, None
