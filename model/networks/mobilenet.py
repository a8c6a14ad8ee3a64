"""MobileNetV2 for CIFAR (docs/numerics.md)."""

from __future__ import annotations

from torch import Tensor, nn

from cpt.model.architecture.layers import conv_norm
from cpt.model.architecture.mobilenet import HEAD_CHANNELS, INVERTED_RESIDUALS, STEM_CHANNELS
from cpt.model.networks.relu import relu_
from cpt.model.networks.residual import ConvNorm


class InvertedResidual(nn.Module):
    """1x1 expansion, depth-wise 3x3, 1x1 projection; a shortcut where the stride is 1."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, stride: int, image_size: int
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvNorm(conv_norm("expand", in_channels, inner, image_size, kernel=1))
        self.depthwise = ConvNorm(
            conv_norm("depthwise", inner, inner, image_size, stride=stride, groups=inner)
        )
        self.project = ConvNorm(conv_norm("project", inner, out_channels, image_size, kernel=1))
        self.stride = stride
        self.shortcut = (
            ConvNorm(conv_norm("shortcut", in_channels, out_channels, image_size, kernel=1))
            if stride == 1 and in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, OH, OW)."""
        y = self.project(relu_(self.depthwise(relu_(self.expand(x)))))
        if self.stride > 1:
            return y
        return y.add_(x if self.shortcut is None else self.shortcut(x))


class MobileNetV2(nn.Module):
    """Images (N, C, H, W) to logits (N, classes); depth-wise layers have the precision of all others."""

    full_precision_layers = frozenset({"classifier"})

    def __init__(self, classes: int = 10, image_size: int = 32, image_channels: int = 3) -> None:
        super().__init__()
        self.stem = ConvNorm(conv_norm("stem", image_channels, STEM_CHANNELS, image_size))
        blocks, channels = [], STEM_CHANNELS
        for expansion, out_channels, count, first_stride in INVERTED_RESIDUALS:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, expansion, stride, image_size))
                channels, image_size = out_channels, (image_size - 1) // stride + 1
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(conv_norm("head", channels, HEAD_CHANNELS, image_size, kernel=1))
        self.classifier = nn.Linear(HEAD_CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = self.blocks(relu_(self.stem(x)))
        return self.classifier(relu_(self.head(x)).mean((2, 3)))
