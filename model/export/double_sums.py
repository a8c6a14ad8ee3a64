"""Results of float64 rounded to float32 once: the same in whatever order a sum is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class DoubleSums(TorchFunctionMode):
    """``with DoubleSums(): model(x)`` computes products, norms, means and sigmoids of float32 in float64.

    Each result is rounded to float32, so that memory format, threads and runtime change a value only where
    that of float64 lies within its own error of the middle between two. Sums, quotients and the like of two
    values stay in float32, since they round alike everywhere. So does what runtimes lack in float64: gelu,
    average pooling, convolutions in one and three dimensions.
    """

    def __init__(self, as_products: bool = False) -> None:
        super().__init__()
        self.as_products = as_products
        """Convolutions become products of unfolded images, for runtimes that have none of float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in _DOUBLE or not any(map(_is_float32, (*args, *kwargs.values()))):
            return func(*args, **kwargs)
        args, kwargs = tuple(map(_double, args)), {name: _double(item) for name, item in kwargs.items()}
        if func is torch.conv2d and self.as_products:
            return _unfolded(*args, **kwargs).float()
        y = func(*args, **kwargs)
        return y.float() if isinstance(y, Tensor) else y


_DOUBLE = {
    torch.conv2d,
    functional.linear,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.mean,
    torch.mean,
    functional.batch_norm,
    functional.layer_norm,
    functional.softmax,
    torch.softmax,
    Tensor.softmax,
    functional.scaled_dot_product_attention,
    torch.sigmoid,
    Tensor.sigmoid,
    functional.sigmoid,
    torch.tanh,
    Tensor.tanh,
    functional.tanh,
}


def _is_float32(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype == torch.float32


def _double(item: Any) -> Any:
    return item.double() if _is_float32(item) else item


def _unfolded(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.conv2d` as a product: images (N, C, H, W) -> (N, O, OH, OW)."""
    kernel, stride, dilation = weight.shape[2:], _pair(stride), _pair(dilation)
    if padding == "same":
        high, wide = (step * (taps - 1) for step, taps in zip(dilation, kernel, strict=True))
        x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    padding = (0, 0) if isinstance(padding, str) else _pair(padding)
    height, width = (
        (size + 2 * pad - step * (taps - 1) - 1) // by + 1
        for size, pad, step, taps, by in zip(x.shape[2:], padding, dilation, kernel, stride, strict=True)
    )
    if tuple(kernel) == (1, 1) and padding == (0, 0):
        columns = x[:, :, :: stride[0], :: stride[1]].flatten(2)
    else:
        columns = functional.unfold(x, kernel, dilation, padding, stride)  # (N, C*KH*KW, OH*OW)
    columns = columns.unflatten(1, (groups, -1))
    rows = weight.flatten(1).unflatten(0, (groups, -1))  # (groups, O/groups, C/groups*KH*KW)
    y = (rows @ columns).flatten(1, 2).unflatten(2, (height, width))
    return y if bias is None else y + bias.view(-1, 1, 1)


def _pair(item: int | Sequence[int]) -> tuple[int, ...]:
    return (item, item) if isinstance(item, int) else tuple(item)
