"""The method: golden integer functions and schedules (numpy only), and the torch library.

The torch names are loaded on first use: `cpt.model.golden`, `cpt.model.noise`, `cpt.model.ranges`,
`cpt.model.schedule`, `cpt.model.architecture` and `cpt.model.bitops` work where no torch exists, on the
accelerator's board.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpt.model.adaptive.ldp import LearnedPrecision
    from cpt.model.adaptive.pfq import ProgressiveFractional
    from cpt.model.config import QuantConfig
    from cpt.model.health import NumericHealth
    from cpt.model.layer_precisions import calibration, precision, precisions, set_precision
    from cpt.model.layer_summary import summary
    from cpt.model.micro_batch import MicroBatches
    from cpt.model.quantisers.base import Quantiser
    from cpt.model.quantisers.registry import register_quantiser
    from cpt.model.quantize import (
        dequantize_,
        float_layers,
        follow_weights_,
        layer_configs,
        quantize_,
        register,
    )
    from cpt.model.range_test import RangeTest
    from cpt.model.schedulers import (
        CyclicPrecision,
        PrecisionScheduler,
        ProgressivePrecision,
        RandomPrecision,
        StaticPrecision,
        set_blockwise,
    )

__all__ = [
    "CyclicPrecision",
    "LearnedPrecision",
    "MicroBatches",
    "NumericHealth",
    "PrecisionScheduler",
    "ProgressiveFractional",
    "ProgressivePrecision",
    "QuantConfig",
    "Quantiser",
    "RandomPrecision",
    "RangeTest",
    "StaticPrecision",
    "calibration",
    "dequantize_",
    "float_layers",
    "follow_weights_",
    "layer_configs",
    "precision",
    "precisions",
    "quantize_",
    "register",
    "register_quantiser",
    "set_blockwise",
    "set_precision",
    "summary",
]
_HOMES = (
    *("config", "quantisers.base", "quantisers.registry", "quantize", "layer_precisions", "micro_batch"),
    *("layer_summary", "schedulers", "adaptive.ldp", "adaptive.pfq", "range_test", "health"),
)
"""Modules that define these names; each is looked at in turn when a name is first asked for."""


if not TYPE_CHECKING:  # a checker that sees this function believes every name

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for home in _HOMES:
                found = vars(importlib.import_module(f"{__name__}.{home}")).get(name)
                if found is not None and found.__module__ == f"{__name__}.{home}":
                    globals()[name] = found
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__all__", "__doc__", "__name__"]
