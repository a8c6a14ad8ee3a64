"""Quantised layers for what is derived from torch's: its own forward, with quantised products."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import adopt
from cpt.model.layers.intercept import Intercept
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, without_precision

BASES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Whose subclasses are known by the product that they call."""


class QuantSubclass(nn.Module):
    """A layer of a class derived from one of `BASES`, with quantised input, weights and output gradient.

    The class's own forward runs; a product that it calls (``F.linear``, ``F.conv2d``, ...) has the input and
    the weights that it is given quantised, as they are then: standardised ones after they are standardised.
    """

    precision: LayerPrecision
    of: ClassVar[type[nn.Module]]

    @classmethod
    def from_float(cls, layer: nn.Module, config: QuantConfig, number: int) -> QuantSubclass:
        """A quantised layer with all that ``layer`` holds."""
        new = adopt(cls, layer)
        new.precision = LayerPrecision(config, number, next(layer.parameters()).device)
        return new

    def to_float(self) -> nn.Module:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(self.of, self)

    @without_autocast
    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """As of the class that this one is derived from."""
        with Intercept(lambda weight: self.precision):
            y: Tensor = super().forward(*inputs, **options)
            return y

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is made as needed: pickles name the one that it is made of.
        return _empty, (self.of,), vars(self).copy()


def quantised_subclass(kind: type[nn.Module]) -> type[QuantSubclass]:
    """The quantised layer for layers of type ``kind``, derived from one of `BASES`."""
    if kind not in _MADE:
        own = {"of": kind, "__doc__": QuantSubclass.__doc__}
        _MADE[kind] = type(f"Quant{kind.__name__}", (QuantSubclass, kind), own)
    return _MADE[kind]


_MADE: dict[type[nn.Module], type[QuantSubclass]] = {}


def _empty(kind: type[nn.Module]) -> QuantSubclass:
    new = quantised_subclass(kind)
    return new.__new__(new)
