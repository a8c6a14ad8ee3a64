"""Layers of a network trained on the accelerator."""

from cpt.host.layers.batch_norm import BatchNorm
from cpt.host.layers.block import BasicBlock
from cpt.host.layers.conv import QuantConv2d
from cpt.host.layers.layer import Layer, Parameter, StepContext
from cpt.host.layers.linear import QuantLinear
from cpt.host.layers.simple import FloatLinear, GlobalAveragePool, ReLU
from cpt.model.initial import InitialWeights

__all__ = [
    "BasicBlock",
    "BatchNorm",
    "FloatLinear",
    "GlobalAveragePool",
    "InitialWeights",
    "Layer",
    "Parameter",
    "QuantConv2d",
    "QuantLinear",
    "ReLU",
    "StepContext",
]
