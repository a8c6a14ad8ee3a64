"""Binary products whose operands pass through a few bits first, after CycleBNN (Fontana et al., 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.functional import Noise, Range, fake_quantise, slice_range, tensor_range
from cpt.model.quantisers.base import Batch, Quantiser
from cpt.model.quantisers.registry import register_quantiser


@register_quantiser("cyclebnn")
@dataclass(frozen=True)
class CycleBnn(Quantiser):
    """Signs of weights and activations, which are rounded to the bits in force before the sign is taken.

    So a network is binary at every precision; what cycles is how near to 0 a number may lie and still have a
    sign. Weights keep the mean magnitude of their output channel as a factor (XNOR-Net, Rastegari et al.
    2016). Gradients have bits as everywhere, stochastic and per tensor.

    Own reading of arXiv 2410.00050 and its public code: there a learned factor scales outputs, and inputs are
    divided by their deviation, which batch norm before the layer does here.
    """

    has_range: ClassVar[bool] = True

    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        fixed = w.detach()
        by_channel = w.dim() > 1
        found = slice_range(fixed, (0,)) if by_channel else tensor_range(fixed)
        axes = tuple(range(int(by_channel), w.dim()))
        signs = fake_quantise(fixed, bits, found, inside=True).sign_()
        return _Weight.apply(w, signs.mul_(fixed.abs().mean(axes, keepdim=True)))

    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        """-1, 0 or 1; 0 and 1 behind a ReLU, where the lowest code is that of 0."""
        assert found is not None
        return _Activation.apply(x, fake_quantise(x.detach(), bits, found, inside=inside).sign_())

    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        return fake_quantise(grad, bits, batch.range(grad), noise)


class _Weight(Function):
    """The signs; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, signs: Tensor) -> Tensor:
        return signs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Activation(Function):
    """The signs; the gradient is that of a piecewise parabola instead, ``2 - 2|x|`` up to 1 (Bi-Real Net)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, signs: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return signs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * (2 - 2 * x.abs()).clamp_min_(0), None
