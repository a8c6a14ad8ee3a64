"""Quantised two-dimensional convolution."""

from __future__ import annotations

from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.estimators import Conv2dTwoWeights
from cpt.model.layers.adopt import adopt
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, without_precision


class QuantConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with quantised input, weights and output gradient; any stride, padding and groups."""

    precision: LayerPrecision

    @classmethod
    def from_float(cls, conv: nn.Conv2d, config: QuantConfig, layer: int) -> QuantConv2d:
        """A quantised layer with all that ``conv`` holds."""
        new = adopt(cls, conv)
        new.precision = LayerPrecision(config, layer, conv.weight.device)
        return new

    def to_float(self) -> nn.Conv2d:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(nn.Conv2d, self)

    @without_autocast
    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, OH, OW)."""
        x, padding = self.precision.activation(input), self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros":
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = nn.functional.pad(x, self._reversed_padding_repeated_twice, mode)
            padding = (0, 0)
        stride = self.stride
        if self.kernel_size == (1, 1) and padding == (0, 0) and stride != (1, 1):
            # What such a layer reads. With AVX2 alone, torch 2.13's strided kernel for the weights' gradient
            # writes past its buffer (channels-last, fewer than 8 input channels).
            x, stride = x[:, :, :: stride[0], :: stride[1]], (1, 1)
        w, w_dx = self.precision.weights(self.weight, self.groups)
        if w_dx is None:
            y = nn.functional.conv2d(x, w, None, stride, padding, self.dilation, self.groups)
        else:
            y = Conv2dTwoWeights.apply(x, w, w_dx, stride, padding, self.dilation, self.groups)
        bias = self.precision.bias(self.bias)
        if bias is not None:
            y = y + bias.to(y.dtype).view(-1, 1, 1)
        return self.precision.gradient(y, channels_first=True)
