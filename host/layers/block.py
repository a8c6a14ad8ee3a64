"""The residual block of CIFAR ResNets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpt.host.layers.batch_norm import BatchNorm
from cpt.host.layers.conv import QuantConv2d
from cpt.host.layers.layer import Layer, Shape, StepContext
from cpt.host.layers.simple import ReLU
from cpt.model.architecture import Block
from cpt.model.initial import InitialWeights

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine


class BasicBlock(Layer):
    """``relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`` as described.

    The shortcut is the identity, or a 1x1 convolution and batch norm where the shape changes. The layers are
    numbered from ``index`` on; `convolutions` says how many numbers are used.
    """

    def __init__(self, description: Block, *, index: int, initial: InitialWeights) -> None:
        super().__init__()
        (conv1, _), (conv2, _) = description.main
        self.children = {
            "conv1": QuantConv2d(conv1, index=index, initial=initial),
            "norm1": BatchNorm(conv1.out_channels),
            "relu1": ReLU(),
            "conv2": QuantConv2d(conv2, index=index + 1, initial=initial),
            "norm2": BatchNorm(conv2.out_channels),
        }
        self._main = list(self.children.values())
        self._side: list[Layer] = []
        if description.shortcut:
            conv, _ = description.shortcut
            self.children["shortcut"] = QuantConv2d(conv, index=index + 2, initial=initial)
            self.children["shortcut_norm"] = BatchNorm(conv.out_channels)
            self._side = [self.children["shortcut"], self.children["shortcut_norm"]]
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
