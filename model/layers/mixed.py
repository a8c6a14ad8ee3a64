"""Mixed precision beside quantisation: a layer that quantises computes in float32 whatever autocast says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from cpt.model.layers.precision import LayerPrecision

Forward = Callable[..., Any]


def without_autocast(forward: Forward) -> Forward:
    """``forward`` of a layer, taken out of autocast unless the layer is in full precision.

    A bfloat16 product would round sums of codes to 8 significant bits, fewer than the codes have.
    """

    @functools.wraps(forward)
    def run(layer: nn.Module, *inputs: Any, **options: Any) -> Any:
        if not torch.compiler.is_compiling():
            _refuse_transforms(layer, inputs)
        kind = next(layer.parameters()).device.type
        if not torch.is_autocast_enabled(kind) or _in_full_precision(layer):
            return forward(layer, *inputs, **options)
        with torch.autocast(kind, enabled=False):
            return forward(
                layer, *map(_float32, inputs), **{name: _float32(item) for name, item in options.items()}
            )

    return run


def _refuse_transforms(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Raise `ValueError` where something else than autograd is to differentiate or trace a quantiser."""
    traced = any(isinstance(item, torch.fx.Proxy) for item in inputs)
    if (traced or torch._C._are_functorch_transforms_active()) and not _in_full_precision(layer):
        name = next((part.name for part in _parts(layer)), type(layer).__name__)
        raise ValueError(
            f"layer {name} is quantised and under {'torch.fx' if traced else 'a transform of torch.func'}; "
            "allowed: autograd, torch.compile, or a float model (dequantize_)"
        )


def _in_full_precision(layer: nn.Module) -> bool:
    parts = _parts(layer)
    return bool(parts) and all(part.in_full_precision for part in parts)


def _parts(layer: nn.Module) -> list[LayerPrecision]:
    return [part for part in layer.children() if isinstance(part, LayerPrecision)]


def _float32(item: Any) -> Any:
    if isinstance(item, Tensor) and item.is_floating_point():
        return item.float()
    return tuple(map(_float32, item)) if isinstance(item, tuple) else item
