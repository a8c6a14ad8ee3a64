"""Layers that quantise what enters them, their weights and the gradient of what leaves them."""

from model.layers.attention import QuantMultiheadAttention
from model.layers.batch_norm import FixedPointBatchNorm2d
from model.layers.conv import QuantConv2d
from model.layers.linear import QuantLinear
from model.layers.lstm import QuantLSTM
from model.layers.precision import LayerPrecision

__all__ = [
    "FixedPointBatchNorm2d",
    "LayerPrecision",
    "QuantConv2d",
    "QuantLSTM",
    "QuantLinear",
    "QuantMultiheadAttention",
]
