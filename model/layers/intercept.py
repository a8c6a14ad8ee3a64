"""torch's own products as those of quantised layers, while code that calls them runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cpt.model.layers.conv import Product, convolved
from cpt.model.layers.linear import quantised_linear
from cpt.model.layers.precision import LayerPrecision

Find = Callable[[Tensor], "LayerPrecision | None"]
"""The precision of a product with these weights; None for one that stays as it is."""


class Intercept(TorchFunctionMode):
    """Inside, ``F.linear`` and ``F.conv1d`` to ``F.conv3d`` run at the precision that ``find`` gives."""

    def __init__(self, find: Find) -> None:
        super().__init__()
        self._find = find

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        product = PRODUCTS.get(func)
        if product is None:
            return func(*args, **kwargs)
        precision = self._find(kwargs["weight"] if "weight" in kwargs else args[1])
        if precision is None:
            return func(*args, **kwargs)
        if precision.in_full_precision:
            precision.activation(args[0] if args else kwargs["input"])  # so that it is known to run
            return func(*args, **kwargs)
        return product(precision, *args, **kwargs)


def _linear(precision: LayerPrecision, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    with torch.autocast(input.device.type, enabled=False):
        return quantised_linear(precision, input.float(), weight, bias)


def _convolution(product: Product, axes: int) -> Product:
    """``product`` as a function of a precision and its own arguments; ``axes``: of an image."""

    def run(
        precision: LayerPrecision,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor:
        batched = input if input.dim() == axes + 2 else input.unsqueeze(0)
        stride, dilation = _each(stride, axes), _each(dilation, axes)
        with torch.autocast(input.device.type, enabled=False):
            x = precision.activation(batched.float(), channels_first=True)
            if isinstance(padding, str):
                x, padding = _padded(x, weight, padding, dilation), 0
            sizes = stride, _each(padding, axes), dilation, groups
            y = convolved(precision, product, x, weight, bias, *sizes)
        return y if input is batched else y.squeeze(0)

    return run


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """A size along every axis."""
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * axes if len(sizes) == 1 else sizes


def _padded(x: Tensor, weight: Tensor, padding: str, dilation: Sequence[int]) -> Tensor:
    """``x`` with the zeros that ``same`` or ``valid`` stands for, the odd one behind."""
    if padding == "valid":
        return x
    sizes: list[int] = []
    for kernel, step in zip(weight.shape[:1:-1], reversed(dilation), strict=True):
        whole = step * (kernel - 1)
        sizes += [whole // 2, whole - whole // 2]
    return functional.pad(x, sizes)


PRODUCTS: dict[Callable[..., Any], Product] = {
    functional.linear: _linear,
    functional.conv1d: _convolution(functional.conv1d, 1),
    functional.conv2d: _convolution(functional.conv2d, 2),
    functional.conv3d: _convolution(functional.conv3d, 3),
}
"""By torch's function."""
