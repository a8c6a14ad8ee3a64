"""SBM, the quantiser CPT uses (docs/numerics.md; Banner et al., NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cpt.model.estimators import StraightThrough
from cpt.model.functional import (
    Grid,
    Noise,
    Range,
    codes,
    fake_quantise,
    scale_of,
    slice_range,
    tensor_range,
)
from cpt.model.golden import SAFE_FLOOR
from cpt.model.quantisers.base import Batch, Quantiser
from cpt.model.quantisers.registry import register_quantiser

DX_WEIGHTS = ("input_channel", "forward")


@dataclass(frozen=True)
class MinMax(Quantiser):
    """Base of quantisers with ranges of their own for the weights of dX."""

    dx_weights: str = "input_channel"
    """Weights in dX: a range per ``input_channel``, as an integer dX needs; ``forward``: the forward pass's,
    as in the public CPT code."""

    has_range: ClassVar[bool] = True
    learnable_precision: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.dx_weights not in DX_WEIGHTS:
            raise ValueError(f"dx_weights is {self.dx_weights!r}; allowed: {', '.join(DX_WEIGHTS)}")

    def quantises_for_dx(self) -> bool:
        """Whether dX has weights of its own, and is wanted."""
        return self.dx_weights == "input_channel" and torch.is_grad_enabled()


@register_quantiser("sbm")
@dataclass(frozen=True)
class Sbm(MinMax):
    """Min-max ranges: weights per channel, activations and gradients per tensor; gradients stochastic."""

    floor: float = SAFE_FLOOR
    """Smallest scale; `cpt.model.golden.REFERENCE_FLOOR` is the public CPT code's."""

    title: ClassVar[str] = "SBM"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.floor > 0:
            raise ValueError(f"floor is {self.floor}; allowed: above 0")

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        lo, hi = self._weight_range(w.detach())
        return StraightThrough.apply(w, bits, lo, hi, soft_bits, self.floor, True)

    def weight_dx(self, w: Tensor, bits: Tensor, groups: int) -> Tensor | None:
        if not self.quantises_for_dx():
            return None
        by_group = w.detach().unflatten(0, (groups, -1))
        found = slice_range(by_group, (0, 2))
        return fake_quantise(by_group, bits, found, floor=self.floor, inside=True).flatten(0, 1)

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        assert found is not None
        return StraightThrough.apply(x, bits, found.lo, found.hi, soft_bits, self.floor, inside)

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        return fake_quantise(grad, bits, batch.range(grad), noise, self.floor)

    @property
    def integers(self) -> bool:  # type: ignore[override]
        """Whether the scales of dX's weights can be taken out of its sums."""
        return self.dx_weights == "input_channel"

    def gradient_codes(
        self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch
    ) -> tuple[Tensor, Grid] | None:
        found = batch.range(grad)
        return codes(grad, bits, found, noise, self.floor), Grid(scale_of(found, bits, self.floor), found.lo)

    def weight_codes(self, w: Tensor, bits: Tensor) -> tuple[Tensor, Grid] | None:
        found = self._weight_range(w.detach())
        q = codes(w.detach(), bits, found, floor=self.floor, inside=True)
        return q, Grid(scale_of(found, bits, self.floor), found.lo)

    def activation_grid(self, bits: Tensor, found: Range | None) -> Grid | None:
        assert found is not None
        return Grid(scale_of(found, bits, self.floor), found.lo)

    @staticmethod
    def _weight_range(w: Tensor) -> Range:
        """A range for each output channel; one for a vector, as biases are."""
        return slice_range(w, (0,)) if w.dim() > 1 else tensor_range(w)
