"""The codes of the fabric's training step as a quantiser (docs/numerics.md, "The step on the fabric")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.fabric_grid import fake_errors, fake_inputs, fake_weights, symmetric
from cpt.model.functional import Noise, Range, levels
from cpt.model.quantisers.base import Batch
from cpt.model.quantisers.registry import register_quantiser
from cpt.model.quantisers.sbm import MinMax


@register_quantiser("fabric")
@dataclass(frozen=True)
class Fabric(MinMax):
    """What a machine for whole steps computes with: operands whose zero is code 0, and its noise.

    Activations are unsigned from 0, or signed and symmetric where values below 0 occur; errors are signed and
    symmetric; the range of a row of weights holds 0. Weights are quantised by row of their own product.
    """

    least_bits: ClassVar[int] = 2
    keyed_by_micro_batch: ClassVar[bool] = True

    def range_of(self, x: Tensor, batch: Batch) -> Range:
        return symmetric(batch.range(x))

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        return GridThrough.apply(w, bits, None, None, soft_bits, True, (0,) if w.dim() > 1 else ())

    def depthwise_weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        return GridThrough.apply(w, bits, None, None, soft_bits, True, (0,), True)

    def weight_dx(self, w: Tensor, bits: Tensor, groups: int) -> Tensor | None:
        depthwise = 1 < groups == len(w)
        if depthwise or not self.quantises_for_dx():
            return None
        by_group = w.detach().unflatten(0, (groups, -1))
        return fake_weights(by_group, bits, (0, 2)).flatten(0, 1)

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        assert found is not None
        return GridThrough.apply(x, bits, found.lo, found.hi, soft_bits, inside, ())

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        assert noise is not None
        return fake_errors(grad, bits, self.range_of(grad, batch).hi, noise)


class GridThrough(Function):
    """The fabric's codes in forward, identity in backward, no clip mask.

    With ``lo`` and ``hi`` activations, else weights with a range for each slice along the axes ``keep``,
    ``whole`` as of `cpt.model.fabric_grid.weight_codes`.
    ``inside``: as of `cpt.model.fabric_grid.input_codes`. ``soft_bits``: as of
    `cpt.model.estimators.StraightThrough`; the unit's derivative is ``-s * ln 2 * (top + 1) / top``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bits: Tensor,
        lo: Tensor | None,
        hi: Tensor | None,
        soft_bits: Tensor | None,
        inside: bool,
        keep: Sequence[int],
        whole: bool = False,
    ) -> Tensor:
        if lo is None or hi is None:
            out, top = fake_weights(x, bits, keep, whole), levels(bits)
        else:
            out, top = fake_inputs(x, bits, Range(lo, hi), inside)
        if soft_bits is not None:
            ctx.save_for_backward(x, out, top)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        bits_grad = None
        if ctx.needs_input_grad[4]:
            x, out, top = ctx.saved_tensors
            bits_grad = (grad * (out - x)).sum() * (-math.log(2) * (top + 1) / top)
        return grad, None, None, None, bits_grad, None, None, None
