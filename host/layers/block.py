"""The residual block of CIFAR ResNets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from host.layers.batch_norm import BatchNorm
from host.layers.conv import QuantConv2d
from host.layers.layer import Layer, Shape, StepContext
from host.layers.simple import ReLU

if TYPE_CHECKING:
    from host.engine import GemmEngine


class BasicBlock(Layer):
    """``relu(bn(conv(relu(bn(conv(x))))) + shortcut(x))``.

    The shortcut is the identity, or a 1x1 convolution and batch norm where the shape changes. Layer numbers
    run from ``index``; `convolutions` of them are used.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, index: int, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.children = {
            "conv1": QuantConv2d(in_channels, out_channels, stride=stride, index=index, rng=rng),
            "bn1": BatchNorm(out_channels),
            "relu1": ReLU(),
            "conv2": QuantConv2d(out_channels, out_channels, index=index + 1, rng=rng),
            "bn2": BatchNorm(out_channels),
        }
        self._main = list(self.children.values())
        self._side: list[Layer] = []
        if stride != 1 or in_channels != out_channels:
            self.children["shortcut"] = QuantConv2d(
                in_channels, out_channels, kernel=1, stride=stride, index=index + 2, rng=rng
            )
            self.children["shortcut_bn"] = BatchNorm(out_channels)
            self._side = [self.children["shortcut"], self.children["shortcut_bn"]]
        self._out = self.children["relu2"] = ReLU()

    @property
    def convolutions(self) -> int:
        """Quantised convolutions in the block."""
        return sum(isinstance(layer, QuantConv2d) for layer in self.children.values())

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """(N, H, W, C) -> (N, OH, OW, O)."""
        side = out = shape
        for layer in self._main:
            out = layer.plan(out, engine)
        for layer in self._side:
            side = layer.plan(side, engine)
        return out

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, H, W, C) -> (N, OH, OW, O)."""
        main = side = x
        for layer in self._main:
            main = layer.forward(main, context)
        for layer in self._side:
            side = layer.forward(side, context)
        return self._out.forward(main + side, context)

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """(N, OH, OW, O) -> (N, H, W, C)."""
        main = side = self._out.backward(grad, context)
        for layer in reversed(self._main):
            main = layer.backward(main, context)
        for layer in reversed(self._side):
            side = layer.backward(side, context)
        return main + side
