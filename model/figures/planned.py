"""The precision of every epoch or iteration of a run."""

from __future__ import annotations

from collections.abc import Sequence

from cpt.model.figures.history import History
from cpt.model.schedule import CyclicCosine, Plan, Static
from cpt.model.training import TorchConfig
from cpt.model.training.methods import make_plan

LEARNED = ("ldp", "pfq")
"""Methods whose bits are known only from what was recorded."""


def planned(run: History) -> tuple[Sequence[tuple[float, float]], str]:
    """((fw, bw) of every step, what a step is): as recorded per epoch, else recomputed per iteration."""
    config = run.config
    by_epoch = config["per"] == "epoch" and not config["steps"]
    if by_epoch or run.method in LEARNED:
        return run.bits(), "epoch"
    length = int(run.summary["steps"])
    plan = _plan(run, length)
    return [plan.bits(step) for step in range(length)], "iteration"


def _plan(run: History, length: int) -> Plan:
    config = run.config
    if "method" in config:
        return make_plan(TorchConfig.from_dict(config), length)
    low, high = config["fw"]
    curve = Static(high) if low == high else CyclicCosine(low, high, length, min(config["cycles"], length))
    return Plan(curve, Static(config["bw"]))
