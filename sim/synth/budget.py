"""The checked-in limits of each preset, and what exceeds them."""

from __future__ import annotations

import json
from pathlib import Path

from cpt.hw.contract.config import require
from cpt.sim.synth.report import Report

FILE = Path(__file__).with_name("budget.json")


def budgets(path: Path = FILE) -> dict[str, dict[str, float]]:
    """Largest value allowed of a figure, by preset and the figure's name in the report."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def exceeded(report: Report, limits: dict[str, float]) -> list[str]:
    """One line for each figure above its limit; `ContractError` for a limit of a figure that there is not."""
    for name in limits:
        require(name in report, f"budget names {name!r}; allowed: a figure of the report")
    return [
        f"{report['preset']}: {name} is {report[name]:g}; allowed: {most:g}"
        for name, most in limits.items()
        if report[name] > most
    ]
