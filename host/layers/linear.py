"""Quantised fully connected layer: a 1x1 convolution on 1x1 images, plus a float bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpt.host.layers.conv import QuantConv2d
from cpt.host.layers.layer import Layer, Parameter, Shape, StepContext
from cpt.model.architecture import Conv
from cpt.model.arithmetic import sum_in_halves
from cpt.model.initial import InitialWeights

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine


class QuantLinear(Layer):
    """``x @ weight.T + bias`` for ``x`` (N, inputs), quantised like `QuantConv2d`; the bias is float32."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        index: int,
        initial: InitialWeights,
        needs_input_grad: bool = True,
    ) -> None:
        super().__init__()
        shape = Conv("product", inputs, outputs, kernel=1, stride=1, padding=0, height=1, width=1)
        product = QuantConv2d(shape, index=index, initial=initial, needs_input_grad=needs_input_grad)
        self.product = product
        self.children = {"product": product}
        self.parameters = {"bias": Parameter(np.zeros(outputs, np.float32))}

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """(N, inputs) -> (N, outputs)."""
        batch, inputs = shape
        return batch, self.product.plan((batch, 1, 1, inputs), engine)[-1]

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, inputs) -> (N, outputs), float32."""
        y = self.product.forward(x[:, None, None, :], context)
        return y[:, 0, 0, :] + self.parameters["bias"].value

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, outputs) -> (N, inputs), float32."""
        self.parameters["bias"].grad = sum_in_halves(grad)
        d_x = self.product.backward(grad[:, None, None, :], context)
        return d_x.reshape(grad.shape[0], -1)
