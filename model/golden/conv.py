"""A convolution's three passes as integer matrix products with zero-point corrections.

Images are (N, H, W, C), weights (O, kernel, kernel, C). Tap ``t = row*kernel + column``; the K order of
forward and dX is (tap, channel). Padding stands for the real value 0 while code 0 stands for ``zero``, so a
padded tap has code 0 *and* is left out of every sum that corrects for zero points.

| pass | A (rows) | B (columns) | K |
|---|---|---|---|
| forward | weights by output channel | input windows by output pixel | tap, input channel |
| dX | weights by input channel | error windows by input pixel | tap, output channel |
| dW | errors by output channel | inputs by (tap, input channel) | output pixel |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cpt.model.golden.gemm import combine, int_matmul
from cpt.model.golden.quantise import Quantised

Matmul = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(M, K), (N, K) codes to the exact (M, N) product; `int_matmul` or a device."""


@dataclass(frozen=True)
class ConvGeometry:
    """Shape of one two-dimensional convolution (no groups, no dilation)."""

    batch: int
    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "height", "width", "in_channels", "out_channels", "kernel", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: at least 1")
        if not 0 <= self.padding < self.kernel:
            raise ValueError(f"padding is {self.padding}; allowed: 0..kernel - 1 ({self.kernel - 1})")
        if min(self.height, self.width) + 2 * self.padding < self.kernel:
            raise ValueError(f"kernel is {self.kernel}; allowed: at most the padded image")

    @property
    def out_height(self) -> int:
        """Rows of the output image."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Columns of the output image."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def taps(self) -> int:
        """Weights per channel pair."""
        return self.kernel * self.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates of each pass, padding included."""
        pixels = self.batch * self.out_height * self.out_width
        return pixels * self.taps * self.in_channels * self.out_channels

    def spans(self) -> Iterator[tuple[int, tuple[slice, slice], tuple[slice, slice]]]:
        """For each tap: its number, and which (rows, columns) of output and input it joins."""
        rows = [_span(tap, self.height, self.out_height, self) for tap in range(self.kernel)]
        cols = [_span(tap, self.width, self.out_width, self) for tap in range(self.kernel)]
        for i, (out_rows, in_rows) in enumerate(rows):
            for j, (out_cols, in_cols) in enumerate(cols):
                yield i * self.kernel + j, (out_rows, out_cols), (in_rows, in_cols)


def _span(tap: int, size: int, out_size: int, geometry: ConvGeometry) -> tuple[slice, slice]:
    """Along one axis: the outputs whose input ``stride*out + tap - padding`` exists, and those inputs."""
    stride, shift = geometry.stride, tap - geometry.padding
    first = max(0, -(shift // stride))
    count = max(0, min(out_size - 1, (size - 1 - shift) // stride) - first + 1)
    start = first * stride + shift
    return slice(first, first + count), slice(start, start + count * stride, stride)


def im2col(codes: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """Input windows by output pixel: (N*OH*OW, taps*C), padded taps 0, same type as ``codes``."""
    g = geometry
    shape = (g.batch, g.out_height, g.out_width, g.taps, g.in_channels)
    columns = (np.zeros if g.padding else np.empty)(shape, codes.dtype)
    for tap, (out_rows, out_cols), (in_rows, in_cols) in g.spans():
        columns[:, out_rows, out_cols, tap] = codes[:, in_rows, in_cols]
    return columns.reshape(-1, g.taps * g.in_channels)


def error_columns(codes: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """Error windows by input pixel: (N*H*W, taps*O); a tap no output pixel reaches is 0.

    Tap numbers are the forward kernel's, so the weights need no rotation; with a stride most taps of a
    pixel are empty.
    """
    g = geometry
    columns = np.zeros((g.batch, g.height, g.width, g.taps, g.out_channels), codes.dtype)
    for tap, (out_rows, out_cols), (in_rows, in_cols) in g.spans():
        columns[:, in_rows, in_cols, tap] = codes[:, out_rows, out_cols]
    return columns.reshape(-1, g.taps * g.out_channels)


def valid_taps(geometry: ConvGeometry) -> np.ndarray:
    """Which taps of each output pixel of *one* image lie inside it: bool (OH*OW, taps)."""
    g = geometry
    mask = np.zeros((g.out_height, g.out_width, g.taps), bool)
    for tap, (out_rows, out_cols), _ in g.spans():
        mask[out_rows, out_cols, tap] = True
    return mask.reshape(-1, g.taps)


def valid_error_taps(geometry: ConvGeometry) -> np.ndarray:
    """Which taps join each input pixel of *one* image to an output pixel: bool (H*W, taps)."""
    g = geometry
    mask = np.zeros((g.height, g.width, g.taps), bool)
    for tap, _, (in_rows, in_cols) in g.spans():
        mask[in_rows, in_cols, tap] = True
    return mask.reshape(-1, g.taps)


def conv_forward(
    x: Quantised, w: Quantised, geometry: ConvGeometry, matmul: Matmul = int_matmul
) -> np.ndarray:
    """Output (N, OH, OW, O), float32, of input ``x`` (N, H, W, C) and weights ``w`` (O, k, k, C).

    ``x``: one range for the tensor. ``w``: a range per output channel (axis 0) or one for all.
    """
    g = geometry
    tap_sums = w.codes.sum(3, dtype=np.int64).reshape(g.out_channels, g.taps)
    rows = w.codes.reshape(g.out_channels, -1)
    y = _window_product(rows, tap_sums, w, im2col(x.codes, g), valid_taps(g), x, g.in_channels, g, matmul)
    return y.T.reshape(g.batch, g.out_height, g.out_width, g.out_channels)


def conv_dx(e: Quantised, w: Quantised, geometry: ConvGeometry, matmul: Matmul = int_matmul) -> np.ndarray:
    """Gradient of the input (N, H, W, C), float32, from errors ``e`` (N, OH, OW, O) and weights (O, k, k, C).

    ``e``: one range for the tensor. ``w``: a range per *input* channel (axis 3) or one for all: scales per
    output channel cannot leave the sum over output channels.
    """
    g = geometry
    by_input = np.ascontiguousarray(w.codes.reshape(g.out_channels, g.taps, g.in_channels).transpose(2, 1, 0))
    tap_sums = by_input.sum(2, dtype=np.int64)
    rows = by_input.reshape(g.in_channels, -1)
    columns = error_columns(e.codes, g)
    dx = _window_product(rows, tap_sums, w, columns, valid_error_taps(g), e, g.out_channels, g, matmul)
    return dx.T.reshape(g.batch, g.height, g.width, g.in_channels)


def conv_dw(e: Quantised, x: Quantised, geometry: ConvGeometry, matmul: Matmul = int_matmul) -> np.ndarray:
    """Gradient of the weights (O, k, k, C), float32, from errors (N, OH, OW, O) and inputs (N, H, W, C)."""
    g = geometry
    by_channel = np.ascontiguousarray(e.codes.reshape(-1, g.out_channels).T)
    columns = np.ascontiguousarray(im2col(x.codes, g).T)
    mask = valid_taps(g)
    per_pixel = e.codes.reshape(g.batch, -1, g.out_channels).sum(0, dtype=np.int64)
    dw = combine(
        matmul(by_channel, columns),
        np.repeat(int_matmul(per_pixel.T, mask.T), g.in_channels, axis=1),
        columns.sum(1, dtype=np.int64),
        np.repeat(mask.sum(0, dtype=np.int64) * g.batch, g.in_channels),
        e.scale,
        e.zero,
        x.scale,
        x.zero,
    )
    return dw.reshape(g.out_channels, g.kernel, g.kernel, g.in_channels)


def _window_product(
    rows: np.ndarray,
    tap_sums: np.ndarray,
    w: Quantised,
    columns: np.ndarray,
    mask: np.ndarray,
    image: Quantised,
    channels: int,
    geometry: ConvGeometry,
    matmul: Matmul,
) -> np.ndarray:
    """Forward or dX as (rows, pixels): weights ``rows`` (M, K) times windows ``columns`` (pixels, K).

    ``tap_sums`` (M, taps): the weights' codes summed over the channels of each tap. ``mask`` (pixels of one
    image, taps); ``channels``: how many codes a tap stands for.
    """
    batch = geometry.batch
    return combine(
        matmul(rows, columns),
        np.tile(int_matmul(tap_sums, mask), batch),
        columns.sum(1, dtype=np.int64),
        np.tile(mask.sum(1, dtype=np.int64) * channels, batch),
        w.scale,
        w.zero,
        image.scale,
        image.zero,
    )
