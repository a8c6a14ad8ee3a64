"""Layers that quantise what enters them, their weights and the gradient of what leaves them."""

from cpt.model.layers.adopt import adopt
from cpt.model.layers.attention import QuantMultiheadAttention
from cpt.model.layers.batch_norm import FixedPointBatchNorm2d
from cpt.model.layers.conv import QuantConv2d
from cpt.model.layers.linear import QuantLinear
from cpt.model.layers.lstm import QuantLSTM
from cpt.model.layers.precision import LayerPrecision, NonFiniteInput

__all__ = [
    "FixedPointBatchNorm2d",
    "LayerPrecision",
    "NonFiniteInput",
    "QuantConv2d",
    "QuantLSTM",
    "QuantLinear",
    "QuantMultiheadAttention",
    "adopt",
]
