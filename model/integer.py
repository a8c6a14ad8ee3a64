"""Linear layers whose three products are those of int8 codes, with sums in int32.

A value is ``code*scale + lo``. Codes lie half their number lower, at -2**(bits-1) .. 2**(bits-1) - 1, and
count from the one nearest to 0: then a product of two matrices of values is one of integers, and small terms
of row sums.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.functional import Grid, levels

if TYPE_CHECKING:
    from cpt.model.layers.precision import LayerPrecision

MOST_TERMS = (2**31 - 1) // 255**2
"""Products of two codes whose sum surely fits in int32, less the codes of 0."""
_LEAST_ROWS, _MULTIPLE = 17, 8
"""What torch's int8 product takes on a GPU: so many rows at least, and such multiples of the other sizes."""


class Codes(NamedTuple):
    """A matrix of values as integers: ``(codes - zero)*scale + rest``.

    ``codes``: (rows, terms) int8. ``zero``: the code nearest to 0, int32. The others float32; all three are
    scalars, or columns with a number for each row.
    """

    codes: Tensor
    zero: Tensor
    scale: Tensor
    rest: Tensor

    @staticmethod
    def of(codes: Tensor, grid: Grid, bits: Tensor) -> Codes:
        """From float32 codes 0 .. 2**bits - 1, (rows, terms), on ``grid``."""
        half = 1 << (bits - 1)
        zero = torch.minimum((-grid.lo / grid.scale).round_().clamp_(0), levels(bits))
        rest = grid.lo + zero * grid.scale
        return Codes((codes - half).to(torch.int8), zero.to(torch.int32) - half, grid.scale, rest)

    def turned(self) -> Codes:
        """Rows as terms; one scale for all."""
        return self._replace(codes=self.codes.t().contiguous())

    def terms(self, first: int, end: int) -> Codes:
        """A part of each row."""
        return self._replace(codes=self.codes[:, first:end].contiguous())


def product(a: Codes, b: Codes) -> Tensor:
    """``a @ b.T`` of the values: (rows of a, rows of b) float32; sums of codes are exact."""
    terms = a.codes.shape[1]
    if terms > MOST_TERMS:
        starts = range(0, terms, MOST_TERMS)
        parts = ((item.terms(first, first + MOST_TERMS) for item in (a, b)) for first in starts)
        return functools.reduce(torch.Tensor.add_, (product(*pair) for pair in parts))
    zero_b, scale_b, rest_b = (x.reshape(1, -1) for x in b[1:])
    of_a = a.codes.sum(1, keepdim=True, dtype=torch.int32)
    of_b = b.codes.sum(1, dtype=torch.int32)[None]
    sums = int_mm(a.codes, b.codes)
    sums -= of_a * zero_b + a.zero * of_b - terms * a.zero * zero_b
    of_a, of_b = of_a - terms * a.zero, of_b - terms * zero_b
    y = sums.to(torch.float32).mul_(a.scale * scale_b)
    y += (a.scale * of_a + terms * a.rest) * rest_b
    y += a.rest * (scale_b * of_b)
    return y


def int_mm(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T`` of int8 matrices in int32, by torch's product with zeros around them.

    On a GPU it takes some sizes only; on a CPU (torch 2.13) sums of a single term are wrong.
    """
    rows, columns, terms = max(len(a), _LEAST_ROWS), _up(len(b)), _up(a.shape[1])
    found = torch._int_mm(_filled(a, rows, terms), _filled(b, columns, terms).t())
    return found[: len(a), : len(b)]


def _up(size: int) -> int:
    return -(-size // _MULTIPLE) * _MULTIPLE


def _filled(x: Tensor, rows: int, terms: int) -> Tensor:
    """``x`` with zeros below and to its right."""
    if x.shape == (rows, terms):
        return x
    return torch.nn.functional.pad(x, (0, terms - x.shape[1], 0, rows - len(x)))


class IntegerLinear(Function):
    """``x @ weight.T + bias``, dX and dW as products of codes; ``item`` says which.

    ``key``: of the noise of the gradient. The gradient passes unchanged from codes to what they stand for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        item: LayerPrecision,
        inputs: Codes,
        weights: Codes,
        weights_dx: Codes | None,
        key: Tensor | int | None,
    ) -> Tensor:
        y = product(inputs, weights).view(*x.shape[:-1], len(weight))
        ctx.item, ctx.key, ctx.bits = item, key, item.bw_bits.clone()
        ctx.save_for_backward(*inputs, *(weights_dx or ()))
        return y if bias is None else y.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), item, saved = grads, ctx.item, ctx.saved_tensors
        codes, grid = item.gradient_codes(grad, ctx.bits, ctx.key)
        rows = codes.reshape(-1, grad.shape[-1])
        found = Codes.of(rows, grid, ctx.bits)
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = product(found, Codes(*saved[4:])).view(*grad.shape[:-1], -1)
        if ctx.needs_input_grad[1]:
            dw = product(found.turned(), Codes(*saved[:4]).turned())
        if ctx.needs_input_grad[2]:
            db = grid.values(rows).sum(0)
        return dx, dw, db, None, None, None, None, None


def integer_linear(item: LayerPrecision, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (..., in) times ``weight`` (out, in) with products of codes: (..., out)."""
    inputs = item.input_codes(x)
    weights, weights_dx = item.weight_codes(weight, for_dx=torch.is_grad_enabled())
    return IntegerLinear.apply(x, weight, item.bias(bias), item, inputs, weights, weights_dx, item.next_key())
