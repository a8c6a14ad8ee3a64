"""Quantised convolution: three passes, each one integer matrix product on the accelerator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cpt.host.engine import GemmShape
from cpt.host.layers.layer import Diverged, Layer, Parameter, Shape, StepContext
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT
from cpt.model.architecture import Conv
from cpt.model.golden import (
    ConvGeometry,
    Quantised,
    combine,
    error_columns,
    im2col,
    int_matmul,
    quantise,
    valid_error_taps,
    valid_taps,
    value_range,
)
from cpt.model.initial import InitialWeights
from cpt.model.noise import noise_key, uniform
from cpt.model.ranges import RunningRange

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine


class QuantConv2d(Layer):
    """Convolution without bias whose three products run on the accelerator (`cpt.model.golden.conv`).

    The bits come from the precision slots: ``slot_forward`` for weights and activations, ``slot_backward``
    for gradients. Weights are quantised per row of the product they enter (output channel forward, input
    channel for dX), activations per tensor, gradients per tensor, stochastically and once for both uses.
    The sums of B's codes that correct for zero points come from the hardware; A's codes the host adds up, and
    where taps fall outside the image only over those inside, a table of one image's size.

    Args:
        description: shape of the layer; the image size comes from `plan`.
        index: number of the layer in its network; keys the stochastic rounding.
        initial: source of the initial weights, N(0, 2 / (kernel**2 * out_channels)).
        needs_input_grad: False for the first layer, which then has no dX pass.
    """

    def __init__(
        self,
        description: Conv,
        *,
        index: int,
        initial: InitialWeights,
        needs_input_grad: bool = True,
        slot_forward: int = FORWARD_SLOT,
        slot_backward: int = BACKWARD_SLOT,
    ) -> None:
        super().__init__()
        self.description, self.index = description, index
        self.needs_input_grad = needs_input_grad
        self.slot_forward, self.slot_backward = slot_forward, slot_backward
        kernel, outputs = description.kernel, description.out_channels
        shape = (outputs, kernel, kernel, description.in_channels)
        weight = initial.normal(shape, math.sqrt(2 / (kernel * kernel * outputs)))
        self.parameters = {"weight": Parameter(weight)}
        self.buffers = {"range": np.zeros(3, np.float32)}  # fields of RunningRange
        self._input: Quantised | None = None

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """Reserve the three products for inputs (N, H, W, C)."""
        self.engine = engine
        batch, height, width, in_channels = shape
        layer = self.description
        out_channels = layer.out_channels
        g = ConvGeometry(
            batch, height, width, in_channels, out_channels, layer.kernel, layer.stride, layer.padding
        )
        self.geometry = g
        forward, backward = self.slot_forward, self.slot_backward
        pixels, in_pixels = batch * g.out_height * g.out_width, batch * height * width
        inputs = g.taps * in_channels
        self._mask, self._error_mask = valid_taps(g), valid_error_taps(g)
        self.shape_forward = GemmShape(out_channels, pixels, inputs, forward, forward)
        self.shape_dw = GemmShape(out_channels, inputs, pixels, backward, forward)
        self.shape_dx = GemmShape(in_channels, in_pixels, g.taps * out_channels, forward, backward)
        for gemm in (self.shape_forward, self.shape_dw) + (self.shape_dx,) * self.needs_input_grad:
            engine.reserve(gemm)
        return batch, g.out_height, g.out_width, out_channels

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, H, W, C) -> (N, OH, OW, O), float32."""
        g, bits = self.geometry, self.engine.slots[self.slot_forward]
        low, high = self._range(x, context.training)
        image = self._quantise("input", context, x, bits, lo=low, hi=high)
        weight = self._quantise("weight", context, self.parameters["weight"].value, bits, axis=0)
        if context.training:
            self._input = image
        rows = weight.codes.reshape(g.out_channels, -1)
        y = self._windows(
            self.shape_forward, rows, weight, im2col(image.codes, g), image, self._mask, "forward"
        )
        return y.reshape(g.batch, g.out_height, g.out_width, g.out_channels)

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, OH, OW, O) -> (N, H, W, C), float32; an empty array if no input gradient is needed."""
        image, self._input = self._input, None
        if image is None:
            raise RuntimeError(f"convolution {self.index}: backward without a training forward before it")
        g, slots = self.geometry, self.engine.slots
        noise = uniform(noise_key(context.seed, context.step, self.index), grad.size)
        error = self._quantise("gradient", context, grad, slots[self.slot_backward], noise=noise)
        self.parameters["weight"].grad = self._weight_grad(error, image)
        if not self.needs_input_grad:
            return np.empty(0, np.float32)
        weight = quantise(self.parameters["weight"].value, slots[self.slot_forward], axis=3)
        by_input = weight.codes.reshape(g.out_channels, g.taps, g.in_channels).transpose(2, 1, 0)
        rows = by_input.reshape(g.in_channels, -1)
        dx = self._windows(
            self.shape_dx, rows, weight, error_columns(error.codes, g), error, self._error_mask, "dX"
        )
        return dx.reshape(g.batch, g.height, g.width, g.in_channels)

    def _quantise(
        self, what: str, context: StepContext, x: np.ndarray, bits: int, **options: Any
    ) -> Quantised:
        try:
            return quantise(x, bits, **options)
        except ValueError as error:
            raise Diverged(
                f"training diverged at step {context.step}: {what} of {self.description.name}: {error}"
            ) from None

    def _range(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, np.ndarray]:
        """Range to quantise the input with: the batch's, which moves the average, or the average."""
        running = RunningRange(*self.buffers["range"])
        if not training:
            low, high = running.value()
            return np.asarray(low), np.asarray(high)
        found = value_range(x)
        running.update(float(found[0]), float(found[1]))
        self.buffers["range"][:] = running.lo, running.hi, running.weight
        return found

    def _windows(
        self,
        shape: GemmShape,
        rows: np.ndarray,
        weight: Quantised,
        columns: np.ndarray,
        image: Quantised,
        mask: np.ndarray,
        name: str,
    ) -> np.ndarray:
        """Forward or dX: weights ``rows`` (M, K) times windows ``columns`` (pixels, K) -> (pixels, M).

        ``mask``: which taps count, (pixels of one image, taps).
        """
        batch, channels = self.geometry.batch, shape.k // self.geometry.taps
        product = self.engine.run(shape, rows, columns, f"{self.description.name} {name}")
        if mask.all():
            sum_rows = rows.sum(1, dtype=np.int64)[:, None]
        else:
            tap_sums = rows.reshape(shape.m, -1, channels).sum(2, dtype=np.int64)
            sum_rows = np.tile(int_matmul(tap_sums, mask), batch)
        values = combine(
            product.values,
            sum_rows,
            product.col_sums,
            np.tile(mask.sum(1, dtype=np.int64) * channels, batch),
            weight.scale,
            weight.zero,
            image.scale,
            image.zero,
        )
        return np.ascontiguousarray(values.T)

    def _weight_grad(self, error: Quantised, image: Quantised) -> np.ndarray:
        """dW (O, kernel, kernel, C): errors by channel times inputs by (tap, channel), K = pixels."""
        g = self.geometry
        by_channel = np.ascontiguousarray(error.codes.reshape(-1, g.out_channels).T)
        columns = np.ascontiguousarray(im2col(image.codes, g).T)
        product = self.engine.run(self.shape_dw, by_channel, columns, f"{self.description.name} dW")
        if self._mask.all():
            sum_rows = by_channel.sum(1, dtype=np.int64)[:, None]
        else:
            per_pixel = error.codes.reshape(g.batch, -1, g.out_channels).sum(0, dtype=np.int64)
            sum_rows = np.repeat(int_matmul(per_pixel.T, self._mask.T), g.in_channels, axis=1)
        values = combine(
            product.values,
            sum_rows,
            product.col_sums,
            np.repeat(self._mask.sum(0, dtype=np.int64) * g.batch, g.in_channels),
            error.scale,
            error.zero,
            image.scale,
            image.zero,
        )
        return values.reshape(g.out_channels, g.kernel, g.kernel, g.in_channels)
