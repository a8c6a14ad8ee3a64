"""How a model is quantised: one frozen, validated record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from cpt.model.golden import SAFE_FLOOR
from cpt.model.schedule import check_bits, hold_ints

QUANTISERS = ("sbm", "dorefa", "wageubn", "fabric")
DX_WEIGHTS = ("input_channel", "forward")


@dataclass(frozen=True)
class QuantConfig:
    """Raises `ValueError` naming field, value and what is allowed."""

    quantiser: str = "sbm"
    """``sbm`` (the default of CPT), ``dorefa``, ``wageubn``, or ``fabric``: a step's codes on the fabric."""
    fw: int = 8
    """Bits of weights and activations to begin with; 0 is full precision."""
    bw: int = 8
    """Bits of gradients to begin with; 0 is full precision."""
    seed: int = 0
    """Seed of the stochastic rounding."""
    quantise_bias: bool = False
    """Quantise biases like weights, one range for the vector."""
    dx_weights: str = "input_channel"
    """SBM and fabric, weights in dX: a range per ``input_channel``, as on the accelerator, or ``forward``."""
    flagged_errors: bool = False
    """WAGEUBN's gradients in its second format, which keeps small values by a flag bit."""
    floor: float = SAFE_FLOOR
    """SBM's smallest scale; `cpt.model.golden.REFERENCE_FLOOR` is the public CPT code's."""

    def __post_init__(self) -> None:
        for name, allowed in (("quantiser", QUANTISERS), ("dx_weights", DX_WEIGHTS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        for name in ("fw", "bw"):
            hold_ints(self, **{name: check_bits(name, getattr(self, name), full_precision=True)})
        if not (isinstance(self.seed, Integral) and 0 <= self.seed < 2**32):
            raise ValueError(f"seed is {self.seed}; allowed: 0..{2**32 - 1}")
        hold_ints(self, seed=self.seed)
        if not self.floor > 0:
            raise ValueError(f"floor is {self.floor}; allowed: above 0")

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, for artefacts."""
        return dataclasses.asdict(self)
