"""The networks of both papers, in full precision; `cpt.model.quantize.quantize_` does the rest.

A network's ``full_precision_layers`` names the layers that stay unquantised (docs/numerics.md).
"""

from cpt.model.networks.graph import Aggregation, GraphNetwork
from cpt.model.networks.lstm import LstmLM
from cpt.model.networks.mobilenet import MobileNetV2
from cpt.model.networks.pan import PixelAttentionNetwork
from cpt.model.networks.residual import ResidualNetwork, cifar_resnet, imagenet_resnet
from cpt.model.networks.transformer import TransformerLM, VisionTransformer, deit_tiny

__all__ = [
    "Aggregation",
    "GraphNetwork",
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
