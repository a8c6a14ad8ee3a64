"""What a quantiser is to everything else: one plug, which says all that it needs."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from cpt.model.functional import Grid, Noise, Range, tensor_range

if TYPE_CHECKING:
    from cpt.model.config import QuantConfig
    from cpt.model.layers import Quantised

Replace = Callable[[Any, "QuantConfig"], "Quantised"]
"""A module and its configuration to what a quantiser puts in the module's place."""


class Batch:
    """The batch that tensors belong to, as quantisers ask about it: here each tensor is all of it.

    Training in several processes puts a `PartOfBatch` in its place.
    """

    shared: ClassVar[bool] = False
    """Whether tensors are parts, and noise is numbered over the whole."""

    def largest(self, x: Tensor) -> Tensor:
        """Element by element the largest of all parts' ``x``; not finite where one of them is not."""
        return x

    def sum(self, x: Tensor) -> Tensor:
        """Element by element the sum of all parts' ``x``; differentiable."""
        return x

    def range(self, x: Tensor) -> Range:
        """Smallest and largest value of the tensor that ``x`` is a part of."""
        return tensor_range(x)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, int]:
        """Mean and variance of each channel of (N, C, H, W), and of how many values; differentiable."""
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return mean, var, x.numel() // x.shape[1]

    def numbered(self, noise: Noise, x: Tensor) -> Noise:
        """``noise`` for ``x``, numbered on from the parts before it."""
        return noise


class PartOfBatch(Batch, ABC):
    """A batch of several equal parts, of which tensors are number ``rank``."""

    shared = True

    def __init__(self, rank: int, parts: int) -> None:
        self.rank, self.parts = rank, parts

    @abstractmethod
    def largest(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def sum(self, x: Tensor) -> Tensor: ...

    def range(self, x: Tensor) -> Range:
        lo, hi = tensor_range(x)
        ends = self.largest(torch.stack((-lo, hi)))
        return Range(-ends[0], ends[1])

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, int]:
        axes, count = (0, 2, 3), x.numel() // x.shape[1] * self.parts
        mean = self.sum(x.sum(axes)) / count
        var = self.sum((x - mean.view(-1, 1, 1)).square().sum(axes)) / count
        return mean, var, count

    def numbered(self, noise: Noise, x: Tensor) -> Noise:
        return noise._replace(offset=self.rank * x.numel())


@dataclass(frozen=True)
class Quantiser(ABC):
    """Quantises the three tensor classes of a layer: weights, activations, gradients.

    A subclass is a frozen dataclass under `register_quantiser`. Its fields are its options: numbers, strings
    or booleans, checked in ``__post_init__``. It holds nothing else: what changes is in the layers' buffers,
    and what is to be known of the batch beyond a tensor, a `Batch` tells.

    ``bits`` are 0-dimensional integer tensors, whose value nobody need wait for. ``soft_bits`` is the real
    number they were rounded from, where a gradient with respect to the precision is wanted (LDP), else None.
    """

    name: ClassVar[str] = ""
    """As registered."""
    title: ClassVar[str] = ""
    """In the papers' tables; ``cpt results`` compares those that have one."""
    least_bits: ClassVar[int] = 1
    """Lowest precision with a meaning."""
    has_range: ClassVar[bool] = False
    """Activations need a range: the batch's in training, a running average in evaluation."""
    channels_last: ClassVar[bool] = False
    """Activations come with their channels as the last axis, in convolutions too."""
    stochastic: ClassVar[bool] = True
    """`gradient` gets noise."""
    keyed_by_micro_batch: ClassVar[bool] = False
    """Its noise has a key of step and micro-batch, instead of one of the count of forwards."""
    learnable_precision: ClassVar[bool] = False
    """A gradient reaches ``soft_bits``."""
    stated: ClassVar[Mapping[str, str]] = {}
    """What a run records of its code, and its resumption compares, such as the hash of a user's file."""
    integers: ClassVar[bool] = False
    """Linear layers may have products of integers: `activation_grid` and `gradient_codes` have one scale for
    a tensor, and weights of dX are `weight_codes` of the transposed matrix."""
    optimiser_kind: ClassVar[str] = ""
    """What ``cpt train --optimiser`` calls the optimiser that `optimiser` is a form of."""

    @abstractmethod
    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        """Weights of the forward pass and of dW, differentiable; output channels along axis 0."""

    def depthwise_weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        """`weight` of a layer each of whose output channels sees one input channel of several."""
        return self.weight(w, bits, soft_bits)

    def weight_dx(self, w: Tensor, bits: Tensor, groups: int) -> Tensor | None:
        """Weights of dX where they are not the forward pass's."""
        return None

    def range_of(self, x: Tensor, batch: Batch) -> Range:
        """What `activation` finds as its range in training, and a running average of in evaluation.

        One number each, or one for each channel, (C,).
        """
        return batch.range(x)

    @abstractmethod
    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        """A layer's input, differentiable. ``found``: its range if `has_range`; ``inside``: it is that of
        ``x`` itself."""

    @abstractmethod
    def gradient(self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch) -> Tensor:
        """The gradient of a layer's output as new values; called in the backward pass, once per product.

        ``noise``: this tensor's, if `stochastic`.
        """

    def weight_codes(self, w: Tensor, bits: Tensor) -> tuple[Tensor, Grid] | None:
        """Codes 0 .. 2**bits - 1 of ``w`` as float32 and their grid, whose values are those of `weight`.

        For export; None where there is no such grid.
        """
        return None

    def activation_grid(self, bits: Tensor, found: Range | None) -> Grid | None:
        """The grid of `activation` with the range ``found``: codes are ``round(clip((x - lo)/scale))``.

        For export; None where there is no such grid.
        """
        return None

    def gradient_codes(
        self, grad: Tensor, bits: Tensor, noise: Noise | None, batch: Batch
    ) -> tuple[Tensor, Grid] | None:
        """Codes 0 .. 2**bits - 1 of a gradient as float32, and their grid; their values are `gradient`'s.

        None where there is no such grid.
        """
        return None

    def replacements(self) -> Mapping[type[nn.Module], Replace]:
        """Exact types of modules, other than layers, that are replaced too, and by what."""
        return {}

    def optimiser(
        self,
        model: nn.Module,
        weights: Sequence[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        seed: int,
    ) -> torch.optim.Optimizer | None:
        """The update of a quantised ``model`` if it is of a kind of its own; its state is tensors."""
        return None

    def options(self) -> dict[str, Any]:
        """All options by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def not_defaults(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``options`` that are not the defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        return {name: value for name, value in options.items() if value != defaults.get(name)}

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.not_defaults(self.options()).items())
        return f"{self.name}({told})" if told else self.name
