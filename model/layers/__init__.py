"""Layers that quantise what enters them, their weights and the gradient of what leaves them."""

from cpt.model.layers.adopt import adopt
from cpt.model.layers.attention import QuantMultiheadAttention
from cpt.model.layers.conv import (
    QuantConv1d,
    QuantConv2d,
    QuantConv3d,
    QuantConvTranspose1d,
    QuantConvTranspose2d,
    QuantConvTranspose3d,
)
from cpt.model.layers.linear import QuantLinear
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, NonFiniteInput
from cpt.model.layers.quantised import Quantised
from cpt.model.layers.recurrent import QuantGRU, QuantLSTM, QuantRNN

__all__ = [
    "LayerPrecision",
    "NonFiniteInput",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConv3d",
    "QuantConvTranspose1d",
    "QuantConvTranspose2d",
    "QuantConvTranspose3d",
    "QuantGRU",
    "QuantLSTM",
    "QuantLinear",
    "QuantMultiheadAttention",
    "QuantRNN",
    "Quantised",
    "adopt",
    "without_autocast",
]
