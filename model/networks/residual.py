"""Residual networks in torch, built from their descriptions."""

from __future__ import annotations

import math

from torch import Tensor, nn

from cpt.model import architecture
from cpt.model.architecture import Block, Conv, Norm, ResNet
from cpt.model.networks.relu import relu_


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm."""

    def __init__(self, pair: tuple[Conv, Norm]) -> None:
        super().__init__()
        conv, norm = pair
        self.conv = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel,
            conv.stride,
            conv.padding,
            groups=conv.groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(norm.channels)
        fan_out = conv.kernel**2 * conv.out_channels // conv.groups
        nn.init.normal_(self.conv.weight, 0, math.sqrt(2 / fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, OH, OW)."""
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """``relu(main(x) + shortcut(x))``."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        for index, pair in enumerate(block.main):
            self.add_module(str(index), ConvNorm(pair))
        self.depth = len(block.main)
        self.shortcut = ConvNorm(block.shortcut) if block.shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, OH, OW)."""
        y = x
        for index in range(self.depth):
            y = self.get_submodule(str(index))(y)
            if index < self.depth - 1:
                y = relu_(y)
        return relu_(y.add_(x if self.shortcut is None else self.shortcut(x)))


class ResidualNetwork(nn.Module):
    """Stem, residual blocks, mean over the image, classifier: images (N, C, H, W) to logits (N, classes)."""

    def __init__(self, description: ResNet) -> None:
        super().__init__()
        self.description = description
        self.stem = ConvNorm(description.stem)
        self.pool = nn.MaxPool2d(3, 2, 1) if description.stem_pool else None
        self.blocks = nn.ModuleList(ResidualBlock(block) for block in description.blocks)
        self.classifier = nn.Linear(description.classifier.in_features, description.classifier.out_features)
        self.full_precision_layers = frozenset(
            name for name, layer in self._described() if not layer.quantised
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = relu_(self.stem(x))
        if self.pool is not None:
            x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))

    def _described(self) -> list[tuple[str, Conv | architecture.Linear]]:
        """Names of modules and what they were described by."""
        found: list[tuple[str, Conv | architecture.Linear]] = [("stem.conv", self.description.stem[0])]
        for number, block in enumerate(self.description.blocks):
            found += [(f"blocks.{number}.{i}.conv", pair[0]) for i, pair in enumerate(block.main)]
            if block.shortcut:
                found.append((f"blocks.{number}.shortcut.conv", block.shortcut[0]))
        return [*found, ("classifier", self.description.classifier)]


def cifar_resnet(
    depth: int,
    classes: int = 10,
    image_size: int | tuple[int, int] = 32,
    image_channels: int = 3,
    width: int = 16,
) -> ResidualNetwork:
    """ResNet of depth 6n + 2 for small images, see `cpt.model.architecture.cifar_resnet`."""
    return ResidualNetwork(architecture.cifar_resnet(depth, classes, image_size, image_channels, width))


def imagenet_resnet(depth: int, classes: int = 1000, image_size: int = 224) -> ResidualNetwork:
    """ResNet-18, -34 or -50, see `cpt.model.architecture.imagenet_resnet`."""
    return ResidualNetwork(architecture.imagenet_resnet(depth, classes, image_size))
