"""Hugging Face's fully connected layer with weights (in, out); imported where transformers is."""

from __future__ import annotations

from torch import Tensor
from transformers.pytorch_utils import Conv1D

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import adopt
from cpt.model.layers.linear import quantised_linear
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, without_precision


class QuantConv1D(Conv1D):
    """`transformers.pytorch_utils.Conv1D` with quantised input, weights and output gradient."""

    precision: LayerPrecision

    @classmethod
    def from_float(cls, layer: Conv1D, config: QuantConfig, number: int) -> QuantConv1D:
        """A quantised layer with all that ``layer`` holds."""
        new = adopt(cls, layer)
        new.precision = LayerPrecision(config, number, layer.weight.device)
        return new

    def to_float(self) -> Conv1D:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(Conv1D, self)

    @without_autocast
    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return quantised_linear(self.precision, x, self.weight.t(), self.bias)
