"""Mixed precision beside quantisation: a layer that quantises computes in float32 whatever autocast says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.layers.precision import LayerPrecision

Forward = Callable[..., Any]


def without_autocast(forward: Forward) -> Forward:
    """``forward`` of a layer, taken out of autocast unless the layer is in full precision.

    A bfloat16 product would round sums of codes to 8 significant bits, fewer than the codes have.
    """

    @functools.wraps(forward)
    def run(layer: nn.Module, *inputs: Any, **options: Any) -> Any:
        kind = next(layer.parameters()).device.type
        if not torch.is_autocast_enabled(kind) or _in_full_precision(layer):
            return forward(layer, *inputs, **options)
        with torch.autocast(kind, enabled=False):
            return forward(
                layer, *map(_float32, inputs), **{name: _float32(item) for name, item in options.items()}
            )

    return run


def _in_full_precision(layer: nn.Module) -> bool:
    parts = [part for part in layer.children() if isinstance(part, LayerPrecision)]
    return bool(parts) and all(part.in_full_precision for part in parts)


def _float32(item: Any) -> Any:
    if isinstance(item, Tensor) and item.is_floating_point():
        return item.float()
    return tuple(map(_float32, item)) if isinstance(item, tuple) else item
