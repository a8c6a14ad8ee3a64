"""Uniform quantisation with a choice of grid, and of what shares a range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.functional import (
    Noise,
    Range,
    fake_quantise,
    levels,
    noise_like,
    scale_of,
    slice_range,
    tensor_range,
)
from cpt.model.golden import SAFE_FLOOR
from cpt.model.quantisers.base import Batch, Quantiser
from cpt.model.quantisers.registry import register_quantiser

GRIDS = ("affine", "symmetric", "zero")
WEIGHTS, ACTIVATIONS = ("channel", "tensor"), ("tensor", "channel", "token")


@register_quantiser("uniform")
@dataclass(frozen=True)
class Uniform(Quantiser):
    """Nearest codes of a uniform grid; gradients stochastic and per tensor. dX has the forward's weights.

    A grid without a code for 0 turns padding, masked and rectified numbers into others than 0.
    """

    grid: str = "affine"
    """``affine``: from the smallest to the largest number, as SBM. ``symmetric``: as far below 0 as above, an
    odd number of codes in use, 0 one of them. ``zero``: affine, widened to 0 and moved by less than a step so
    that 0 has a code."""
    weights: str = "channel"
    """What shares a range: an output ``channel``, or the ``tensor``."""
    activations: str = "tensor"
    """What shares a range: the ``tensor`` or a ``channel``, whose ranges have a running average for
    evaluation; or a ``token``, all channels of one position of one sample, whose range is its own always."""

    learnable_precision: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, allowed in (("grid", GRIDS), ("weights", WEIGHTS), ("activations", ACTIVATIONS)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")

    @property
    def least_bits(self) -> int:  # type: ignore[override]
        """A symmetric grid of one bit would have the code of 0 alone."""
        return 2 if self.grid == "symmetric" else 1

    @property
    def has_range(self) -> bool:  # type: ignore[override]
        """Tokens have no range that lasts."""
        return self.activations != "token"

    @property
    def channels_last(self) -> bool:  # type: ignore[override]
        """Whether axes matter."""
        return self.activations != "tensor"

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        by_channel = self.weights == "channel" and w.dim() > 1
        found = slice_range(w.detach(), (0,)) if by_channel else tensor_range(w.detach())
        return _Through.apply(w, self._nearest(w.detach(), bits, found))

    def range_of(self, x: Tensor, batch: Batch) -> Range:
        if self.activations == "tensor":
            return batch.range(x)
        rows = x.reshape(-1, x.shape[-1])
        ends = batch.largest(torch.stack((-rows.amin(0), rows.amax(0))))
        return Range(-ends[0], ends[1])

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        if found is None:
            found = slice_range(x.detach(), range(x.dim() - 1))
        return _Through.apply(x, self._nearest(x.detach(), bits, found))

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        return self._nearest(grad, bits, batch.range(grad), noise)

    def _nearest(self, x: Tensor, bits: Tensor, found: Range, noise: Noise | None = None) -> Tensor:
        """The grid's values nearest to ``x``, or to ``x`` and noise."""
        if self.grid == "affine":
            return fake_quantise(x, bits, found, noise)
        scale, zero = self._scale_and_zero(found, bits)
        q = x / scale
        if noise is not None:
            q.add_(noise_like(x, noise))
        q.round_().add_(zero).clamp_(0)
        return torch.minimum(q, levels(bits)).sub_(zero).mul_(scale)

    def _scale_and_zero(self, found: Range, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Step between codes, and the code of 0."""
        if self.grid == "symmetric":
            middle = (levels(bits) + 1) / 2
            return (torch.maximum(-found.lo, found.hi) / (middle - 1)).clamp_min(SAFE_FLOOR), middle
        lo, hi = found.lo.clamp_max(0), found.hi.clamp_min(0)
        scale = scale_of(Range(lo, hi), bits)
        return scale, (-lo / scale).round()


class _Through(Function):
    """``y`` in forward; its gradient is that of ``x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None
