"""Quantised fully connected layer."""

from __future__ import annotations

from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.estimators import LinearTwoWeights
from cpt.model.integer import integer_linear
from cpt.model.kept import as_codes
from cpt.model.layers.adopt import adopt
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, without_precision


def quantised_linear(precision: LayerPrecision, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (..., in) times ``weight`` (out, in), all of it at the layer's precision: (..., out)."""
    if precision.in_integers:
        return integer_linear(precision, x, weight, bias)
    return project(precision, x, precision.weights(weight), bias)


def project(
    precision: LayerPrecision, x: Tensor, weights: tuple[Tensor, Tensor | None], bias: Tensor | None
) -> Tensor:
    """`quantised_linear` with weights that are quantised already."""
    x = precision.activation(x)
    w, w_dx = weights
    with as_codes(x):
        y = nn.functional.linear(x, w) if w_dx is None else LinearTwoWeights.apply(x, w, w_dx)
    bias = precision.bias(bias)
    return precision.gradient(y if bias is None else y + bias.to(y.dtype))


class QuantLinear(nn.Linear):
    """`torch.nn.Linear` with quantised input, weights and output gradient."""

    precision: LayerPrecision

    @classmethod
    def from_float(cls, linear: nn.Linear, config: QuantConfig, layer: int) -> QuantLinear:
        """A quantised layer with all that ``linear`` holds."""
        new = adopt(cls, linear)
        new.precision = LayerPrecision(config, layer, linear.weight.device)
        return new

    def to_float(self) -> nn.Linear:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(nn.Linear, self)

    @without_autocast
    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return quantised_linear(self.precision, input, self.weight, self.bias)
