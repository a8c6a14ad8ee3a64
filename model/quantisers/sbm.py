"""SBM, the quantiser CPT uses (docs/numerics.md; Banner et al., NeurIPS 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from cpt.model.estimators import QuantiseGradient, StraightThrough
from cpt.model.functional import Noise, Range, fake_quantise, slice_range, tensor_range
from cpt.model.golden import SAFE_FLOOR
from cpt.model.quantisers.base import Quantiser


class Sbm(Quantiser):
    """Min-max ranges: weights per channel, activations and gradients per tensor; gradients stochastic.

    ``forward_weights_in_dx``: dX uses the forward pass's weights, as the public CPT code does, instead of
    weights quantised per input channel, as an integer dX needs.
    """

    has_range = True

    def __init__(self, floor: float = SAFE_FLOOR, forward_weights_in_dx: bool = False) -> None:
        self.floor, self.forward_weights_in_dx = floor, forward_weights_in_dx

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        lo, hi = slice_range(w.detach(), (0,)) if w.dim() > 1 else tensor_range(w.detach())
        return StraightThrough.apply(w, bits, lo, hi, soft_bits, self.floor, True)

    def weight_dx(self, w: Tensor, bits: Tensor, groups: int) -> Tensor | None:
        if self.forward_weights_in_dx or not torch.is_grad_enabled():
            return None
        by_group = w.detach().unflatten(0, (groups, -1))
        found = slice_range(by_group, (0, 2))
        return fake_quantise(by_group, bits, found, floor=self.floor, inside=True).flatten(0, 1)

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        assert found is not None
        return StraightThrough.apply(x, bits, found.lo, found.hi, soft_bits, self.floor, inside)

    def gradient(self, y: Tensor, bits: Tensor, key: Tensor | int, channels_first: bool) -> Tensor:
        return QuantiseGradient.apply(y, bits, key, channels_first, self._gradient_rule)

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        return fake_quantise(grad, bits, self.tensor_range(grad), noise, self.floor)
