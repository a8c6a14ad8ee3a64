"""DoReFa-Net (Zhou et al. 2016), in the form CPT compares with (docs/numerics.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cpt.model.estimators import StraightThrough
from cpt.model.functional import Grid, Noise, Range, codes, fake_quantise, scale_of
from cpt.model.golden import SAFE_FLOOR
from cpt.model.quantisers.base import Batch, Quantiser
from cpt.model.quantisers.registry import register_quantiser


@register_quantiser("dorefa")
@dataclass(frozen=True)
class DoReFa(Quantiser):
    """Weights through tanh, activations cut to 0..1, gradients per sample and stochastic."""

    title: ClassVar[str] = "DoReFa"
    learnable_precision: ClassVar[bool] = True

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        return 2 * self._unit(self._squashed(w), bits, soft_bits) - 1

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        return self._unit(x.clamp(0, 1), bits, soft_bits)

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        """``2m*(quant(g/(2m) + 1/2 + noise/levels) - 1/2)``, m the largest magnitude of each sample."""
        m = grad.abs().amax(tuple(range(1, grad.dim())), keepdim=True)
        return fake_quantise(grad, bits, Range(-m, m), noise)

    def weight_codes(self, w: Tensor, bits: Tensor) -> tuple[Tensor, Grid] | None:
        unit = Range(w.new_zeros(()), w.new_ones(()))
        step = scale_of(unit, bits)
        return codes(self._squashed(w.detach()), bits, unit, inside=True), Grid(2 * step, -unit.hi)

    def activation_grid(self, bits: Tensor, found: Range | None) -> Grid | None:
        zero = torch.zeros((), device=bits.device)
        return Grid(scale_of(Range(zero, zero + 1), bits), zero)

    @staticmethod
    def _squashed(w: Tensor) -> Tensor:
        """``w`` through tanh to 0..1."""
        squashed = torch.tanh(w)
        return squashed / (2 * squashed.detach().abs().amax().clamp_min(SAFE_FLOOR)) + 0.5

    @staticmethod
    def _unit(x: Tensor, bits: Tensor, soft_bits: Tensor | None) -> Tensor:
        """``x`` in 0..1 to the nearest multiple of 1/(2**bits - 1)."""
        zero, one = x.new_zeros(()), x.new_ones(())
        return StraightThrough.apply(x, bits, zero, one, soft_bits, SAFE_FLOOR, True)
