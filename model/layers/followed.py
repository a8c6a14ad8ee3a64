"""Modules that read their layers' weights and call torch's functions with them, past the layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cpt.model.layers.intercept import Intercept
from cpt.model.layers.precision import LayerPrecision


class Followed(nn.Module):
    """A module inside whose forward ``F.linear(x, layer.weight)`` is what ``layer(x)`` would be.

    So are ``F.conv1d`` to ``F.conv3d``, of quantised layers anywhere inside the module.
    """

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """As of the class that this one is derived from."""
        pairs = [
            (weight, item)
            for layer in self.modules()
            if isinstance(item := getattr(layer, "precision", None), LayerPrecision)
            and isinstance(weight := getattr(layer, "weight", None), Tensor)
        ]
        with Intercept(lambda given: next((item for weight, item in pairs if weight is given), None)):
            return super().forward(*inputs, **options)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is made as needed: pickles name the one that it is made of.
        return _empty, (type(self).__bases__[1],), vars(self).copy()


_MADE: dict[type[nn.Module], type[nn.Module]] = {}


def _followed(kind: type[nn.Module]) -> type[nn.Module]:
    if kind not in _MADE:
        own = {"__doc__": kind.__doc__, "__module__": kind.__module__}
        _MADE[kind] = type(kind.__name__, (Followed, kind), own)
    return _MADE[kind]


def _empty(kind: type[nn.Module]) -> nn.Module:
    new = _followed(kind)
    return new.__new__(new)


def follow(module: nn.Module) -> None:
    """Make ``module`` a `Followed` one, in place."""
    if not isinstance(module, Followed):
        module.__class__ = _followed(type(module))


def leave(module: nn.Module) -> None:
    """Make it what it was."""
    if isinstance(module, Followed):
        module.__class__ = type(module).__bases__[1]
