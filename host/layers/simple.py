"""Layers without arithmetic on the accelerator: ReLU, global average pooling, float linear."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpt.host.layers.layer import Layer, Parameter, Shape, StepContext
from cpt.model.arithmetic import divide, sum_in_halves
from cpt.model.initial import InitialWeights

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine


class ReLU(Layer):
    """``max(x, 0)``; the gradient at 0 is 0."""

    def __init__(self) -> None:
        super().__init__()
        self._positive = np.empty(0, bool)

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """Same shape as ``x``."""
        if context.training:
            self._positive = x > 0
        y = np.maximum(x, 0)
        y += np.float32(0)  # which of two zeros is the larger is the processor's choice: make it +0
        return y

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """``grad`` where the input was positive, else 0."""
        del context
        return grad * self._positive


class GlobalAveragePool(Layer):
    """Mean over the image: (N, H, W, C) -> (N, C)."""

    def __init__(self) -> None:
        super().__init__()
        self._shape: Shape = ()

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """(N, C)."""
        del engine
        return shape[0], shape[-1]

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """Mean over H and W, float32."""
        del context
        self._shape = x.shape
        batch, height, width, channels = x.shape
        pixels = x.reshape(batch, height * width, channels).swapaxes(0, 1)
        return divide(sum_in_halves(pixels), np.float32(height * width))

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """Spreads each gradient evenly over the image."""
        del context
        _, height, width, _ = self._shape
        return np.broadcast_to(divide(grad, np.float32(height * width))[:, None, None, :], self._shape)


class FloatLinear(Layer):
    """``x @ weight.T + bias`` in float32: the classifier, which CPT leaves unquantised on CIFAR.

    Its three products are `ordered_product`: no BLAS, whose order of additions differs between processors.
    """

    def __init__(self, inputs: int, outputs: int, initial: InitialWeights) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.parameters = {
            "weight": Parameter(initial.uniform((outputs, inputs), bound)),
            "bias": Parameter(initial.uniform((outputs,), bound)),
        }
        self._input = np.empty(0, np.float32)

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """(N, outputs)."""
        del engine
        return shape[0], self.parameters["bias"].value.shape[0]

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, inputs) -> (N, outputs)."""
        if context.training:
            self._input = x
        return ordered_product(x.T, self.parameters["weight"].value.T) + self.parameters["bias"].value

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, outputs) -> (N, inputs)."""
        del context
        self.parameters["weight"].grad = ordered_product(grad, self._input)
        self.parameters["bias"].grad = sum_in_halves(grad)
        return ordered_product(grad.T, self.parameters["weight"].value)


def ordered_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left.T @ right`` of (K, M) and (K, N), float32: K products, each rounded, by `sum_in_halves`."""
    return sum_in_halves(left[:, :, None] * right[:, None, :], overwrite=True)
