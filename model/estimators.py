"""Autograd functions: what gradients do at a quantiser and at a product with its own dX weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.functional import Noise, Range, coded, fake_quantise, levels, scale_of
from cpt.model.kept import Coded, wanted

if TYPE_CHECKING:
    from cpt.model.quantisers import Batch, Quantiser


class StraightThrough(Function):
    """Quantise in forward, identity in backward, no clip mask (docs/numerics.md).

    ``soft_bits`` is None, or the real-valued bits that ``bits`` was rounded from: it then gets the gradient
    through the step size, ``d(s*round((x - z)/s) + z)/ds = round(v) - v`` (LDP).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bits: Tensor,
        lo: Tensor,
        hi: Tensor,
        soft_bits: Tensor | None,
        floor: float,
        inside: bool,
    ) -> Tensor:
        made = wanted()
        if made is None or soft_bits is not None or lo.numel() > 1:
            out = fake_quantise(x, bits, Range(lo, hi), floor=floor, inside=inside)
        else:
            out, byte_codes, grid = coded(x, bits, Range(lo, hi), floor, inside)
            made.append((out, Coded(byte_codes, grid)))
        if soft_bits is not None:
            ctx.save_for_backward(x, out, bits, lo, hi)
            ctx.floor = floor
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        bits_grad = None
        if ctx.needs_input_grad[4]:
            x, out, bits, lo, hi = ctx.saved_tensors
            scale = scale_of(Range(lo, hi), bits, ctx.floor)
            top = levels(bits)
            step_per_bit = -(hi - lo) * math.log(2) * (top + 1) / (top * top)
            bits_grad = (grad * (out - x) / scale * step_per_bit).sum()
        return grad, None, None, None, bits_grad, None, None


class QuantiseGradient(Function):
    """Identity in forward; in backward ``quantiser.gradient`` quantises the gradient, once.

    Its noise belongs to ``key``, as ``batch`` numbers it; None without a key.
    """

    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        bits: Tensor,
        key: Tensor | int | None,
        channels_first: bool,
        quantiser: Quantiser,
        batch: Batch,
    ) -> Tensor:
        # Compiled code holds tensors only when saved; else it is the first forward's, not a recomputed one's.
        saved = isinstance(key, Tensor) and torch.compiler.is_compiling()
        ctx.save_for_backward(bits, *((key,) if saved else ()))
        ctx.key = None if saved else key
        ctx.channels_first, ctx.quantiser, ctx.batch = channels_first, quantiser, batch
        # The same memory, but to torch no view: views that a function makes may not be changed in place.
        return torch.ops.aten._unsafe_view(y, y.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        bits, *saved = ctx.saved_tensors
        key = saved[0] if saved else ctx.key
        noise = None if key is None else ctx.batch.numbered(Noise(key, ctx.channels_first), grad)
        return ctx.quantiser.gradient(grad, bits, noise, ctx.batch), None, None, None, None, None


class ConvTwoWeights(Function):
    """Convolution with ``weight`` in forward and ``weight_dx`` in dX; dW is that of ``weight``.

    Transposed if ``output_padding`` is given.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        weight_dx: Tensor,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        output_padding: tuple[int, ...] | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight_dx)
        transposed = output_padding is not None
        ctx.args = stride, padding, dilation, transposed, output_padding or (0,) * len(stride), groups
        return torch.ops.aten.convolution(x, weight, None, *ctx.args)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_dx = ctx.saved_tensors
        needed = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        dx, dw, _ = torch.ops.aten.convolution_backward(grads[0], x, weight_dx, None, *ctx.args, needed)
        return dx, dw, *[None] * 6


class LinearTwoWeights(Function):
    """``x @ weight.T`` in forward; dX with ``weight_dx``, dW that of ``weight``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, weight_dx: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight_dx)
        return x @ weight.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight_dx = ctx.saved_tensors
        dx = grad @ weight_dx if ctx.needs_input_grad[0] else None
        dw = _rows(grad).t() @ _rows(x) if ctx.needs_input_grad[1] else None
        return dx, dw, None


def _rows(x: Tensor) -> Tensor:
    """(..., features) -> (rows, features)."""
    return x.reshape(-1, x.shape[-1])
