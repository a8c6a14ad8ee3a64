"""CIFAR-style residual networks of depth 6n+2 for the accelerator."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from host.layers import (
    BasicBlock,
    BatchNorm,
    FloatLinear,
    GlobalAveragePool,
    Layer,
    QuantConv2d,
    ReLU,
    StepContext,
)
from host.layers.layer import Shape
from hw.contract import ContractError

if TYPE_CHECKING:
    from host.engine import GemmEngine

WIDTHS = (16, 32, 64)
"""Channels of the three stages (He et al. 2016, section 4.2)."""


def resnet_depth(name: str) -> int:
    """Depth of ``resnetD``; raises `ContractError` unless D = 6n+2 with n >= 1."""
    match = re.fullmatch(r"resnet(\d+)", name)
    depth = int(match[1]) if match else 0
    if depth < 8 or (depth - 2) % 6:
        raise ContractError(f"model is {name!r}; allowed: resnetD with D = 6n+2 (resnet8, resnet20, ...)")
    return depth


class ResNet(Layer):
    """Convolution, three stages of `BasicBlock` (the later two halve the image), pooling, classifier.

    First convolution and shortcuts are quantised, the classifier is float32 (NUMERICS section 2).

    Args:
        depth: 6n+2.
        in_channels, classes: shape of the task.
        widths: channels of the stages.
        seed: of the initial weights.
    """

    def __init__(
        self, depth: int, *, in_channels: int, classes: int, widths: tuple[int, ...] = WIDTHS, seed: int = 0
    ) -> None:
        super().__init__()
        rng = np.random.Generator(np.random.PCG64(seed))
        self.children["conv"] = QuantConv2d(in_channels, widths[0], index=0, rng=rng, needs_input_grad=False)
        self.children["bn"] = BatchNorm(widths[0])
        self.children["relu"] = ReLU()
        index, channels = 1, widths[0]
        for stage, width in enumerate(widths, 1):
            for number in range((depth - 2) // 6):
                stride = 2 if stage > 1 and number == 0 else 1
                block = BasicBlock(channels, width, stride=stride, index=index, rng=rng)
                self.children[f"stage{stage}.block{number}"] = block
                index, channels = index + block.convolutions, width
        self.children["pool"] = GlobalAveragePool()
        self.children["classifier"] = FloatLinear(channels, classes, rng)

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """(N, H, W, C) -> (N, classes)."""
        for layer in self.children.values():
            shape = layer.plan(shape, engine)
        return shape

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """Images (N, H, W, C) -> logits (N, classes)."""
        for layer in self.children.values():
            x = layer.forward(x, context)
        return x

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """Stores every parameter's gradient; returns nothing of use (the first layer needs no dX)."""
        for layer in reversed(list(self.children.values())):
            grad = layer.backward(grad, context)
        return grad

    def state(self) -> dict[str, np.ndarray]:
        """All parameters and buffers by name; the arrays themselves, not copies."""
        parameters = {name: item.value for name, item in self.named_parameters()}
        return {**parameters, **dict(self.named_buffers())}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy ``arrays`` into the network; raises `ContractError` if a name or shape differs."""
        own = self.state()
        copy_arrays(arrays, own, "network state")

    def weights_sha256(self) -> str:
        """Hash of names, shapes and bytes of all parameters."""
        digest = hashlib.sha256()
        for name, parameter in sorted(self.named_parameters()):
            digest.update(f"{name} {parameter.value.shape} ".encode())
            digest.update(np.ascontiguousarray(parameter.value, "<f4").tobytes())
        return digest.hexdigest()


def copy_arrays(source: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray], what: str) -> None:
    """Copy every array of ``source`` into that of ``target``; both must have the same names and shapes."""
    if set(source) != set(target):
        odd = sorted(set(source) ^ set(target))
        raise ContractError(f"{what} differs in {', '.join(odd[:3])}; allowed: the arrays of the same model")
    for name, array in target.items():
        if source[name].shape != array.shape or source[name].dtype != array.dtype:
            raise ContractError(
                f"{what}: {name} is {source[name].dtype} {source[name].shape}; "
                f"allowed: {array.dtype} {array.shape}"
            )
        array[...] = source[name]
