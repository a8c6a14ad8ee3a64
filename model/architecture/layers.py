"""Layers as data: enough to build them and to count their work. Counts are per sample."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """Convolution of a ``height`` x ``width`` image; padding as given, no bias."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    height: int
    width: int
    groups: int = 1
    quantised: bool = True

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass, padded taps included."""
        pixels = self.out_height * self.out_width
        return pixels * self.kernel**2 * self.in_channels * self.out_channels // self.groups


@dataclass(frozen=True)
class Linear:
    """Fully connected layer, applied at ``positions`` places (tokens, time steps)."""

    name: str
    in_features: int
    out_features: int
    positions: int = 1
    quantised: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass."""
        return self.in_features * self.out_features * self.positions


@dataclass(frozen=True)
class Norm:
    """Batch norm over a ``height`` x ``width`` image."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        """Values normalised."""
        return self.channels * self.height * self.width


Layer = Conv | Linear | Norm


def conv_norm(
    name: str,
    in_channels: int,
    out_channels: int,
    size: int | tuple[int, int],
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    quantised: bool = True,
) -> tuple[Conv, Norm]:
    """A convolution padded by half its kernel, and the batch norm after it.

    ``size``: side of a square image, or height and width.
    """
    height, width = (size, size) if isinstance(size, int) else size
    conv = Conv(
        f"{name}.conv",
        in_channels,
        out_channels,
        kernel,
        stride,
        kernel // 2,
        height,
        width,
        groups,
        quantised,
    )
    return conv, Norm(f"{name}.norm", out_channels, conv.out_height, conv.out_width)
