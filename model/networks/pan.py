"""PAN, a pixel attention network for super-resolution (Zhao et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.2
"""Of the leaky ReLU."""
SCALES = (2, 3, 4)


def _conv(in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)


def _leaky(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, SLOPE)


class PixelAttention(nn.Module):
    """``x * sigmoid(conv1x1(x))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x * torch.sigmoid(self.conv(x))


class SelfCalibratedBlock(nn.Module):
    """Two half-width branches, one with pixel attention, and a shortcut (SCPA)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.split_a, self.split_b = (_conv(channels, half, 1, bias=False) for _ in range(2))
        self.plain = _conv(half, half, 3, bias=False)
        self.attention = _conv(half, half, 1)
        self.inner, self.outer = (_conv(half, half, 3, bias=False) for _ in range(2))
        self.merge = _conv(2 * half, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        a = _leaky(self.plain(_leaky(self.split_a(x))))
        b = _leaky(self.split_b(x))
        b = _leaky(self.outer(self.inner(b) * torch.sigmoid(self.attention(b))))
        return x + self.merge(torch.cat((a, b), 1))


class PixelAttentionNetwork(nn.Module):
    """Images (N, C, H, W) to (N, C, scale*H, scale*W); only the feature trunk is quantised."""

    def __init__(
        self,
        scale: int = 4,
        channels: int = 40,
        up_channels: int = 24,
        blocks: int = 16,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale is {scale}; allowed: {', '.join(map(str, SCALES))}")
        self.scale = scale
        self.first = _conv(image_channels, channels, 3)
        self.trunk = nn.Sequential(
            *(SelfCalibratedBlock(channels) for _ in range(blocks)), _conv(channels, channels, 3)
        )
        factors = (2, 2) if scale == 4 else (scale,)
        self.up = nn.Sequential()
        for index, factor in enumerate(factors):
            self.up.append(nn.Upsample(scale_factor=factor))
            self.up.append(_conv(channels if index == 0 else up_channels, up_channels, 3))
            self.up.append(PixelAttention(up_channels))
            self.up.append(nn.LeakyReLU(SLOPE))
            self.up.append(_conv(up_channels, up_channels, 3))
            self.up.append(nn.LeakyReLU(SLOPE))
        self.last = _conv(up_channels, image_channels, 3)
        self.full_precision_layers = frozenset(
            name for name, _ in self.named_modules() if not name.startswith("trunk.")
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale*H, scale*W)."""
        features = self.first(x)
        features = features + self.trunk(features)
        base = nn.functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return base + self.last(self.up(features))
