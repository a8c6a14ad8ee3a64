"""Layers of a network trained on the accelerator."""

from host.layers.batch_norm import BatchNorm
from host.layers.block import BasicBlock
from host.layers.conv import QuantConv2d
from host.layers.layer import Layer, Parameter, StepContext
from host.layers.linear import QuantLinear
from host.layers.simple import FloatLinear, GlobalAveragePool, ReLU

__all__ = [
    "BasicBlock",
    "BatchNorm",
    "FloatLinear",
    "GlobalAveragePool",
    "Layer",
    "Parameter",
    "QuantConv2d",
    "QuantLinear",
    "ReLU",
    "StepContext",
]
