"""ReLU that keeps a byte per number for its backward pass, where torch's keeps its float32 output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.native import kernels_for


class _Relu(Function):
    """In place; the gradient passes where the output is above 0, or is no number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        if native := kernels_for(x):
            ctx.save_for_backward(native.relu_(x))
        else:
            ctx.save_for_backward((x.clamp_min_(0) <= 0).logical_not_().view(torch.uint8))
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,), (passes,) = grads, ctx.saved_tensors
        native = kernels_for(grad) if grad.stride() == passes.stride() else None
        if native:
            return native.relu_backward(grad, passes)
        # Not masked_fill, whose result is in C order: sums behind it would differ with the order of memory.
        return torch.where(passes.view(torch.bool), grad, 0.0)


def relu_(x: Tensor) -> Tensor:
    """`torch.relu_`, which a quantised layer behind it need not keep anything for."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return torch.relu_(x)
    y: Tensor = _Relu.apply(x)
    return y
