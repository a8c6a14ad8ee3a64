"""A layer as one of another class: the same parameters, buffers, hooks and attributes."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)

_OWN = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
"""What the two layers must not share, so that one may grow without the other."""
_OF_EVERY_CLASS = ("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__firstlineno__")


def adopt(kind: type[Layer], module: nn.Module) -> Layer:
    """A ``kind`` that holds all that ``module`` holds; its constructor does not run.

    Hooks are in the same dictionaries, so that a handle from before still removes its hook. Weights made
    anew at each use stay so: those of ``weight_norm``, ``spectral_norm`` and ``prune`` by their hooks, those
    of `torch.nn.utils.parametrize` by a class like ``kind`` with the same properties. Raises `ValueError`
    for a layer with a ``forward`` of its own, which would run past ``kind``'s.
    """
    if "forward" in vars(module):
        raise ValueError("forward is set on the layer itself; allowed: that of its class")
    if parametrize.is_parametrized(module):
        made = {name: item for name, item in vars(type(module)).items() if name not in _OF_EVERY_CLASS}
        kind = type(f"Parametrized{kind.__name__}", (kind,), made)
    new = kind.__new__(kind)
    held = {name: item for name, item in vars(module).items() if name != "_compiled_call_impl"}
    vars(new).update(held | {name: held[name].copy() for name in _OWN})
    return new


def plain_type(module: nn.Module) -> type[nn.Module]:
    """The class of a layer without its parametrisations."""
    kind = type(module)
    return kind.__bases__[0] if parametrize.is_parametrized(module) else kind
