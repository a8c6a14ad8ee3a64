"""CIFAR-style residual networks of depth 6n+2 for the accelerator."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cpt.host.layers import (
    BasicBlock,
    BatchNorm,
    FloatLinear,
    GlobalAveragePool,
    InitialWeights,
    Layer,
    QuantConv2d,
    ReLU,
    StepContext,
)
from cpt.host.layers.layer import Shape
from cpt.hw.contract import ContractError
from cpt.model.architecture import ResNet as Description
from cpt.model.architecture.resnet import DEEPEST

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine


def resnet_depth(name: str) -> int:
    """Depth of ``resnetD``; raises `ContractError` unless D = 6n+2 with n >= 1."""
    match = re.fullmatch(r"resnet(\d{1,4})", name)
    depth = int(match[1]) if match else 0
    if not 8 <= depth <= DEEPEST or (depth - 2) % 6:
        raise ContractError(f"model is {name!r}; allowed: resnetD with D = 6n+2 (resnet8, resnet20, ...)")
    return depth


class ResNet(Layer):
    """The network that a `cpt.model.architecture.ResNet` describes, layer by layer.

    Everything but the classifier is quantised and runs on the accelerator (docs/numerics.md). ``seed``
    decides the initial weights.
    """

    def __init__(self, description: Description, seed: int = 0) -> None:
        super().__init__()
        self.description = description
        initial = InitialWeights(seed)
        stem, _ = description.stem
        self.children["stem"] = QuantConv2d(stem, index=0, initial=initial, needs_input_grad=False)
        self.children["stem_norm"] = BatchNorm(stem.out_channels)
        self.children["relu"] = ReLU()
        index = 1
        for block in description.blocks:
            layer = BasicBlock(block, index=index, initial=initial)
            self.children[block.name] = layer
            index += layer.convolutions
        self.children["pool"] = GlobalAveragePool()
        classifier = description.classifier
        self.children["classifier"] = FloatLinear(classifier.in_features, classifier.out_features, initial)

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
