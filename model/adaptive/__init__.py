"""Precision that follows what training shows, behind one interface (docs/schedules.md)."""

from cpt.model.adaptive.adapt import AdaPT
from cpt.model.adaptive.fast import Fast
from cpt.model.adaptive.ldp import Ldp, LearnedPrecision
from cpt.model.adaptive.muppet import Muppet
from cpt.model.adaptive.pfq import Pfq, ProgressiveFractional
from cpt.model.adaptive.rule import AdaptivePrecision, LayerStatistics, Rule, StepStatistics
from cpt.model.adaptive.snip import Snip

RULES: dict[str, type[Rule]] = {"muppet": Muppet, "adapt": AdaPT, "fast": Fast, "snip": Snip}
"""Those that look at steps and keep nothing in the layers, by the name of ``cpt train --method``."""

__all__ = [
    "RULES",
    "AdaPT",
    "AdaptivePrecision",
    "Fast",
    "LayerStatistics",
    "Ldp",
    "LearnedPrecision",
    "Muppet",
    "Pfq",
    "ProgressiveFractional",
    "Rule",
    "Snip",
    "StepStatistics",
]
