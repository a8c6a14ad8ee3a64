"""What every layer is: named parameters, named buffers, children, and two passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpt.host.errors import HostError

if TYPE_CHECKING:
    from cpt.host.engine import GemmEngine

Shape = tuple[int, ...]


class Diverged(HostError):
    """A value in training is not finite any more; the message names layer, step and value."""


@dataclass
class Parameter:
    """A trained array (float32) and the gradient of the last backward pass, of the same shape."""

    value: np.ndarray
    grad: np.ndarray | None = None


@dataclass(frozen=True)
class StepContext:
    """Which step a pass belongs to: decides batch statistics and keys the stochastic rounding."""

    training: bool
    seed: int = 0
    step: int = 0


class Layer:
    """A node of the network.

    Subclasses implement `forward` and `backward`, and `plan` where they change the shape or need the
    accelerator. ``backward`` may only follow the ``forward`` of the same training step, whose
    intermediate values it consumes; it stores parameter gradients and returns the input's gradient.
    Activations are float32, channels last.
    """

    def __init__(self) -> None:
        self.children: dict[str, Layer] = {}
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}

    def plan(self, shape: Shape, engine: GemmEngine) -> Shape:
        """Reserve what this layer runs on ``engine`` for inputs of ``shape``; returns the output shape."""
        del engine
        return shape

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """Output for input ``x``."""
        raise NotImplementedError

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """Gradient of the input, given that of the output."""
        raise NotImplementedError

    def modules(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all below it, by dotted name, in the order they were added."""
        yield prefix, self
        for name, child in self.children.items():
            yield from child.modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters by dotted name."""
        for prefix, layer in self.modules():
            for name, parameter in layer.parameters.items():
                yield f"{prefix}.{name}" if prefix else name, parameter

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """All buffers (running statistics) by dotted name; writing into them changes the layer."""
        for prefix, layer in self.modules():
            for name, array in layer.buffers.items():
                yield f"{prefix}.{name}" if prefix else name, array
