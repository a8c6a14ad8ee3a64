"""Layers that quantise what enters them, their weights and the gradient of what leaves them."""

from cpt.model.layers.adopt import adopt
from cpt.model.layers.attention import QuantMultiheadAttention
from cpt.model.layers.conv import QuantConv2d
from cpt.model.layers.linear import QuantLinear
from cpt.model.layers.lstm import QuantLSTM
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, NonFiniteInput
from cpt.model.layers.quantised import Quantised

__all__ = [
    "LayerPrecision",
    "NonFiniteInput",
    "QuantConv2d",
    "QuantLSTM",
    "QuantLinear",
    "QuantMultiheadAttention",
    "Quantised",
    "adopt",
    "without_autocast",
]
