"""What a quantiser offers its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from cpt.model.functional import Range, tensor_range


class Quantiser(ABC):
    """Differentiable quantisation of a layer's three tensor classes.

    ``bits`` are 0-dimensional integer tensors. ``soft_bits`` is the real number they were rounded from, where
    a gradient with respect to the precision is wanted (LDP), else None.
    """

    has_range = False
    """Activations need a range: the batch's in training, a running average in evaluation."""
    least_bits = 1
    """Lowest precision with a meaning."""
    numbers_whole_batch = False
    """Its noise is numbered over the batch of all processes, instead of each process drawing its own."""
    keyed_by_micro_batch = False
    """Its noise has a key of step and micro-batch, instead of one of the count of forwards."""
    learnable_precision = True
    """A gradient reaches ``soft_bits``."""

    def tensor_range(self, x: Tensor) -> Range:
        """Range of a whole activation or gradient (data parallel: of all processes' parts)."""
        return tensor_range(x)

    @abstractmethod
    def weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        """Weights of the forward pass and of dW; output channels along axis 0."""

    def depthwise_weight(self, w: Tensor, bits: Tensor, soft_bits: Tensor | None = None) -> Tensor:
        """`weight` of a layer each of whose output channels sees one input channel of several."""
        return self.weight(w, bits, soft_bits)

    def weight_dx(self, w: Tensor, bits: Tensor, groups: int) -> Tensor | None:
        """Weights of dX where they are not the forward pass's."""
        return None

    @abstractmethod
    def activation(
        self, x: Tensor, bits: Tensor, found: Range | None, inside: bool, soft_bits: Tensor | None = None
    ) -> Tensor:
        """A layer's input. ``found``: its range if `has_range`; ``inside``: it is that of ``x`` itself."""

    @abstractmethod
    def gradient(self, y: Tensor, bits: Tensor, key: Tensor | int, channels_first: bool) -> Tensor:
        """``y`` itself; its gradient is quantised once, on its way back."""
