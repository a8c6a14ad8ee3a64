"""Networks as data: shared by bit counting, the torch library and the accelerator's trainer."""

from cpt.model.architecture.layers import Conv, Layer, Linear, Norm
from cpt.model.architecture.mobilenet import mobilenet_v2
from cpt.model.architecture.resnet import Block, ResNet, cifar_resnet, imagenet_resnet

__all__ = [
    "Block",
    "Conv",
    "Layer",
    "Linear",
    "Norm",
    "ResNet",
    "cifar_resnet",
    "imagenet_resnet",
    "mobilenet_v2",
]
