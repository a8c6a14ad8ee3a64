"""The networks of both papers, in full precision; `model.quantize.quantize_` does the rest.

A network's ``full_precision_layers`` names the layers that stay unquantised (docs/numerics.md).
"""

from model.networks.lstm import LstmLM
from model.networks.mobilenet import MobileNetV2
from model.networks.pan import PixelAttentionNetwork
from model.networks.residual import ResidualNetwork, cifar_resnet, imagenet_resnet
from model.networks.transformer import TransformerLM, VisionTransformer, deit_tiny

__all__ = [
    "LstmLM",
    "MobileNetV2",
    "PixelAttentionNetwork",
    "ResidualNetwork",
    "TransformerLM",
    "VisionTransformer",
    "cifar_resnet",
    "deit_tiny",
    "imagenet_resnet",
]
