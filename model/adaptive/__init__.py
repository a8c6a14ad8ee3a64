"""Precision that follows what training shows, behind one interface (docs/schedules.md)."""

from cpt.model.adaptive.adapt import AdaPT
from cpt.model.adaptive.fast import Fast
from cpt.model.adaptive.muppet import Muppet
from cpt.model.adaptive.rule import AdaptivePrecision, LayerStatistics, Rule, StepStatistics
from cpt.model.adaptive.snip import Snip

RULES: dict[str, type[Rule]] = {"muppet": Muppet, "adapt": AdaPT, "fast": Fast, "snip": Snip}
"""By the name of ``cpt train --method``."""

__all__ = [
    "RULES",
    "AdaPT",
    "AdaptivePrecision",
    "Fast",
    "LayerStatistics",
    "Muppet",
    "Rule",
    "Snip",
    "StepStatistics",
]
