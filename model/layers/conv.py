"""Quantised convolutions of one to three dimensions, and transposed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from cpt.model.config import QuantConfig
from cpt.model.estimators import ConvTwoWeights
from cpt.model.kept import as_codes
from cpt.model.layers.adopt import adopt
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, without_precision

Product = Callable[..., Tensor]
Sizes = tuple[int, ...]


def convolved(
    precision: LayerPrecision,
    product: Product,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    """``x`` (N, C, ...), which is quantised, with weights (O, C/groups, ...) at the layer's precision."""
    kernel = weight.shape[2:]
    if all(size == 1 for size in kernel) and padding == (0,) * len(kernel):
        # What such a layer reads. With AVX2 alone, torch 2.13's strided kernel for the weights' gradient
        # writes past its buffer (channels-last, fewer than 8 input channels).
        for axis, step in enumerate(stride, 2):
            x = x[(slice(None),) * axis + (slice(None, None, step),)] if step > 1 else x
        stride = (1,) * len(stride)
    w, w_dx = precision.weights(weight, groups)
    with as_codes(x):
        if w_dx is None:
            y = product(x, w, None, stride, padding, dilation, groups)
        else:
            y = ConvTwoWeights.apply(x, w, w_dx, stride, padding, dilation, groups, None)
    return finished(precision, y, bias)


def finished(precision: LayerPrecision, y: Tensor, bias: Tensor | None) -> Tensor:
    """Sums of products (N, O, ...) as the layer's output, with its bias; their gradient will be quantised."""
    bias = precision.bias(bias)
    if bias is not None:
        y = y + bias.to(y.dtype).view(-1, *[1] * (y.dim() - 2))
    return precision.gradient(y, channels_first=True)


class _Convolution(_ConvNd):
    """What all of them are beside the float layer, ``of``: any stride, padding and groups."""

    precision: LayerPrecision
    of: ClassVar[type[_ConvNd]]
    product: ClassVar[Product]

    @classmethod
    def from_float(cls, conv: _ConvNd, config: QuantConfig, layer: int) -> _Convolution:
        """A quantised layer with all that ``conv`` holds."""
        new = adopt(cls, conv)
        new.precision = LayerPrecision(config, layer, conv.weight.device)
        return new

    def to_float(self) -> _ConvNd:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(self.of, self)

    def _batched(self, input: Tensor) -> Tensor:
        """The input with the axis that a single sample lacks."""
        return input.unsqueeze(0) if input.dim() < self.weight.dim() else input

    def _as_given(self, y: Tensor, input: Tensor) -> Tensor:
        """The output for ``input``, without the axis that it lacks."""
        return y if input.dim() == y.dim() else y.squeeze(0)


class _Plain(_Convolution):
    """One that is not transposed."""

    @without_autocast
    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, O, ...), or one sample without N."""
        x, padding = self.precision.activation(self._batched(input), channels_first=True), self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros":
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = functional.pad(x, self._reversed_padding_repeated_twice, mode)
            padding = (0,) * len(self.kernel_size)
        sizes = self.stride, padding, self.dilation, self.groups
        y = convolved(self.precision, type(self).product, x, self.weight, self.bias, *sizes)
        return self._as_given(y, input)


class _Transposed(_Convolution, _ConvTransposeNd):
    """Weights are quantised by output channel, as everywhere, along axis 1 of (in, out/groups, ...)."""

    @without_autocast
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, ...) -> (N, O, ...), or one sample without N."""
        x = self.precision.activation(self._batched(input), channels_first=True)
        sizes: Any = self.stride, self.padding, self.kernel_size, len(self.kernel_size), self.dilation
        beyond = self._output_padding(x, output_size, *sizes)
        w, w_dx = self.precision.weights(_turned(self.weight, self.groups), self.groups)
        w = _turned(w, self.groups)
        with as_codes(x):
            if w_dx is None:
                sizes = self.stride, self.padding, beyond, self.groups, self.dilation
                y = type(self).product(x, w, None, *sizes)
            else:
                sizes = self.stride, self.padding, self.dilation, self.groups, tuple(beyond)
                y = ConvTwoWeights.apply(x, w, _turned(w_dx, self.groups), *sizes)
        return self._as_given(finished(self.precision, y, self.bias), input)


def _turned(w: Tensor, groups: int) -> Tensor:
    """(in, out/groups, ...) as (out, in/groups, ...), and back."""
    return w.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)


class QuantConv1d(_Plain, nn.Conv1d):
    """`torch.nn.Conv1d` with quantised input, weights and output gradient."""

    of, product = nn.Conv1d, staticmethod(functional.conv1d)


class QuantConv2d(_Plain, nn.Conv2d):
    """`torch.nn.Conv2d` with quantised input, weights and output gradient."""

    of, product = nn.Conv2d, staticmethod(functional.conv2d)


class QuantConv3d(_Plain, nn.Conv3d):
    """`torch.nn.Conv3d` with quantised input, weights and output gradient."""

    of, product = nn.Conv3d, staticmethod(functional.conv3d)


class QuantConvTranspose1d(_Transposed, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` with quantised input, weights and output gradient."""

    of, product = nn.ConvTranspose1d, staticmethod(functional.conv_transpose1d)


class QuantConvTranspose2d(_Transposed, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with quantised input, weights and output gradient."""

    of, product = nn.ConvTranspose2d, staticmethod(functional.conv_transpose2d)


class QuantConvTranspose3d(_Transposed, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` with quantised input, weights and output gradient."""

    of, product = nn.ConvTranspose3d, staticmethod(functional.conv_transpose3d)


CONVOLUTIONS = (
    QuantConv1d,
    QuantConv2d,
    QuantConv3d,
    QuantConvTranspose1d,
    QuantConvTranspose2d,
    QuantConvTranspose3d,
)
"""All of them."""
