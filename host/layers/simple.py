"""Layers without arithmetic on the accelerator: ReLU, global average pooling, float linear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpt.host.layers.layer import Layer, Parameter, Shape, StepContext

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
        return np.maximum(x, 0)

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
        return x.mean(axis=(1, 2), dtype=np.float32)

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """Spreads each gradient evenly over the image."""
        del context
        _, height, width, _ = self._shape
        return np.broadcast_to(grad[:, None, None, :] / np.float32(height * width), self._shape)


class FloatLinear(Layer):
    """``x @ weight.T + bias`` in float32: the classifier, which CPT leaves unquantised on CIFAR."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        super().__init__()
        bound = 1 / np.sqrt(inputs)
        self.parameters = {
            "weight": Parameter(rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)),
            "bias": Parameter(rng.uniform(-bound, bound, outputs).astype(np.float32)),
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
        return x @ self.parameters["weight"].value.T + self.parameters["bias"].value

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, outputs) -> (N, inputs)."""
        del context
        self.parameters["weight"].grad = grad.T @ self._input
        self.parameters["bias"].grad = grad.sum(axis=0)
        return grad @ self.parameters["weight"].value
