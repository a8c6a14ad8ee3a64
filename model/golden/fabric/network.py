"""What the fabric trains: convolutions in blocks, their parameters and running statistics."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from cpt.model.architecture import Conv, ResNet
from cpt.model.architecture.layers import Layer as Described
from cpt.model.architecture.layers import Linear
from cpt.model.golden.conv import ConvGeometry
from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.channel import running
from cpt.model.initial import InitialWeights

IMAGES = "images"
"""Name of the images' running range."""


@dataclass(frozen=True)
class Layer:
    """A convolution with batch norm: its shape, the names of its arrays, and its number."""

    index: int
    """Keys the noise of its errors: convolutions in order, a shortcut after its block's."""
    convolution: str
    norm: str
    shape: Conv

    @property
    def depthwise(self) -> bool:
        """Whether each output channel sees its own input channel alone."""
        return self.shape.groups > 1

    def geometry(self, batch: int) -> ConvGeometry:
        """For ``batch`` images."""
        c = self.shape
        return ConvGeometry(
            batch, c.height, c.width, c.in_channels, c.out_channels, c.kernel, c.stride, c.padding
        )


@dataclass(frozen=True)
class Block:
    """Convolutions one after the other, a ReLU behind each but a ``linear`` end; what joins before that."""

    name: str
    main: tuple[Layer, ...]
    shortcut: Layer | None = None
    """Convolution of the block's input that joins; None and ``identity``: the input itself."""
    identity: bool = False
    linear: bool = False
    """No ReLU behind the last convolution: what leaves has values of both signs."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of them."""
        return (*self.main, self.shortcut) if self.shortcut else self.main


class Network:
    """Parameters, running statistics and order of a network; `step` computes with them.

    ``parameters``: float32 by name; batch norms have gamma and beta.
    ``buffers``: running mean and variance of batch norms; per tensor of activations its running range
    [highest, weight], value ``highest/weight``. ``factor``, ``offset``: float32 per image channel; a byte p
    stands for ``factor*p + offset``.
    """

    def __init__(
        self, blocks: tuple[Block, ...], classes: int, factor: np.ndarray, offset: np.ndarray, seed: int = 0
    ) -> None:
        self.blocks, self.factor, self.offset = blocks, factor, offset
        self.layers = tuple(layer for block in blocks for layer in block.layers)
        self.parameters: dict[str, np.ndarray] = {}
        self.buffers: dict[str, np.ndarray] = {IMAGES: np.zeros(2, np.float32)}
        initial = InitialWeights(seed)
        for layer in self.layers:
            c = layer.shape
            if c.groups != 1 and not c.groups == c.in_channels == c.out_channels:
                raise ValueError(
                    f"groups of {c.name} are {c.groups}; allowed: 1, or all {c.in_channels} input channels "
                    f"with as many outputs"
                )
            shape = (c.out_channels, c.kernel, c.kernel, c.in_channels // c.groups)
            deviation = math.sqrt(2 / (c.kernel * c.kernel * c.out_channels))
            self.parameters[f"{layer.convolution}.weight"] = initial.normal(shape, deviation)
            self.parameters[f"{layer.norm}.gamma"] = np.ones(c.out_channels, np.float32)
            self.parameters[f"{layer.norm}.beta"] = np.zeros(c.out_channels, np.float32)
            self.buffers[f"{layer.norm}.mean"] = np.zeros(c.out_channels, np.float32)
            self.buffers[f"{layer.norm}.var"] = np.ones(c.out_channels, np.float32)
        for block in blocks:
            for layer in block.main:
                self.buffers[f"{layer.norm}.range"] = np.zeros(2, np.float32)
        if blocks[-1].linear:
            raise ValueError(f"{blocks[-1].name} ends without ReLU; allowed: any block but the last")
        inputs = blocks[-1].main[-1].shape.out_channels
        bound = 1 / math.sqrt(inputs)
        self.parameters["classifier.weight"] = initial.uniform((classes, inputs), bound)
        self.parameters["classifier.bias"] = initial.uniform((classes,), bound)

    @classmethod
    def residual(cls, network: ResNet, factor: np.ndarray, offset: np.ndarray, seed: int = 0) -> Network:
        """The network that an architecture describes; blocks of any depth."""
        if network.stem_pool:
            raise ValueError(f"{network.name} pools behind its stem; allowed: networks without")
        blocks = [Block("stem", (Layer(0, "stem", "stem_norm", network.stem[0]),))]
        index = 1
        for block in network.blocks:
            main = tuple(
                Layer(index + i, f"{block.name}.conv{i + 1}", f"{block.name}.norm{i + 1}", conv)
                for i, (conv, _) in enumerate(block.main)
            )
            index += len(main)
            shortcut = None
            if block.shortcut:
                names = f"{block.name}.shortcut", f"{block.name}.shortcut_norm"
                shortcut = Layer(index, *names, block.shortcut[0])
                index += 1
            blocks.append(Block(block.name, main, shortcut, identity=shortcut is None))
        return cls(tuple(blocks), network.classifier.out_features, factor, offset, seed)

    @classmethod
    def mobilenet(
        cls, layers: tuple[Described, ...], factor: np.ndarray, offset: np.ndarray, seed: int = 0
    ) -> Network:
        """The network of inverted residuals that `architecture.mobilenet_v2` lists: linear block ends."""
        named: dict[str, dict[str, Conv]] = {}
        for item in layers:
            if isinstance(item, Conv):
                block, _, part = item.name.removesuffix(".conv").rpartition(".")
                named.setdefault(block or part, {})[part] = item
        blocks, index = [], 0
        for name, convs in named.items():
            found = {}
            order = [part for part in convs if part != "shortcut"]
            for part in [*order, *(part for part in convs if part == "shortcut")]:
                full = part if part == name else f"{name}.{part}"
                found[part] = Layer(index, full, f"{full}_norm", convs[part])
                index += 1
            main, shortcut = tuple(found[part] for part in order), found.get("shortcut")
            first, last = main[0].shape, main[-1].shape
            inverted = len(main) > 1
            same = (first.in_channels, first.height) == (last.out_channels, last.out_height)
            blocks.append(Block(name, main, shortcut, inverted and same and shortcut is None, inverted))
        (classes,) = (item.out_features for item in layers if isinstance(item, Linear))
        return cls(tuple(blocks), classes, factor, offset, seed)

    def observe(self, name: str, highest: np.ndarray, rate: np.float32) -> None:
        """Move the running range ``name``, and its weight towards 1 alike: so it starts without bias."""
        old = self.buffers[name]
        self.buffers[name] = running(old, np.array([highest, 1], np.float32), rate)

    def expected(self, name: str) -> np.ndarray:
        """Highest value of tensor ``name`` in evaluation; raises `ValueError` before any training."""
        highest, weight = self.buffers[name]
        if weight == 0:
            raise ValueError(f"range of {name} has 0 updates; allowed: at least 1 training step before")
        return fl.multiply(highest, fl.reciprocal(weight))

    def state(self) -> dict[str, np.ndarray]:
        """All parameters and buffers by name."""
        return {**self.parameters, **self.buffers}

    def weights_sha256(self) -> str:
        """Hash of names, shapes and bytes of all parameters."""
        digest = hashlib.sha256()
        for name, value in sorted(self.parameters.items()):
            digest.update(f"{name} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value, "<f4").tobytes())
        return digest.hexdigest()
