"""The method: golden integer functions and schedules (numpy only), and the torch library.

The torch names are loaded on first use: `model.golden`, `model.noise`, `model.ranges`, `model.schedule`,
`model.architecture` and `model.bitops` work where no torch exists, on the accelerator's board.
"""

from __future__ import annotations

import importlib
from typing import Any

_TORCH_NAMES = {
    "QuantConfig": "model.config",
    "quantize_": "model.quantize",
    "precision": "model.quantize",
    "set_precision": "model.quantize",
    "precisions": "model.quantize",
    "summary": "model.layer_summary",
    "PrecisionScheduler": "model.schedulers",
    "CyclicPrecision": "model.schedulers",
    "StaticPrecision": "model.schedulers",
    "ProgressivePrecision": "model.schedulers",
    "RandomPrecision": "model.schedulers",
    "set_blockwise": "model.schedulers",
    "LearnedPrecision": "model.ldp",
    "ProgressiveFractional": "model.pfq",
    "RangeTest": "model.range_test",
}

__all__ = sorted(_TORCH_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _TORCH_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_TORCH_NAMES[name]), name)
