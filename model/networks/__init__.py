"""The networks of both papers, in full precision; `model.quantize.quantize_` does the rest.

A network's ``full_precision_layers`` names the layers that stay unquantised (NUMERICS section 2).
"""

from model.networks.mobilenet import MobileNetV2
from model.networks.residual import ResidualNetwork, cifar_resnet, imagenet_resnet

__all__ = ["MobileNetV2", "ResidualNetwork", "cifar_resnet", "imagenet_resnet"]
