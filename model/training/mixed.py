"""Mixed precision beside quantisation: bfloat16 where a layer is in full precision, else float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from model.layers import FixedPointBatchNorm2d, LayerPrecision


def keep_quantised_in_float32(model: nn.Module, device_type: str) -> None:
    """Take quantised layers out of autocast, in place: codes of up to 16 bits need float32."""
    for module in model.modules():
        quantised = any(isinstance(child, LayerPrecision) for child in module.children())
        if quantised or isinstance(module, FixedPointBatchNorm2d):
            module.forward = _InFloat32(module.forward, device_type)


class _InFloat32:
    """A forward function without autocast, its inputs in float32."""

    def __init__(self, forward: Callable[..., Any], device_type: str) -> None:
        self.forward, self.device_type = forward, device_type

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with torch.autocast(self.device_type, enabled=False):
            return self.forward(*(_float32(item) for item in inputs), **options)


def _float32(item: Any) -> Any:
    if isinstance(item, Tensor) and item.is_floating_point():
        return item.float()
    return tuple(map(_float32, item)) if isinstance(item, tuple) else item
