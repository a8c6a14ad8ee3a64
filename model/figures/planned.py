"""The precision of every epoch or iteration of a run."""

from __future__ import annotations

from collections.abc import Sequence

from cpt.model.adaptive import RULES
from cpt.model.cyclic import cyclic
from cpt.model.figures.history import History
from cpt.model.schedule import Plan, Static
from cpt.model.training import TorchConfig
from cpt.model.training.methods import make_plan

LEARNED = ("ldp", "pfq", *RULES)
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
    shape = config.get("shape", "cosine")
    curve = cyclic(shape, tuple(config["fw"]), min(config["cycles"], length), length)
    return Plan(curve, Static(config["bw"]))
