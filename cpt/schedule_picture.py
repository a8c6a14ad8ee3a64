"""Simulated time of schedules' runs, and what they reach against what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpt.experiments import BUDGET
from cpt.model.units import metric
from cpt.schedule_experiments import ADAPTIVE, CONSTANT, SCHEDULES
from cpt.schedule_times import Times

if TYPE_CHECKING:
    from cpt.model.figures.pareto import Group
    from cpt.model.training import Task

JOINED = {BUDGET: "8 bits, fewer steps", CONSTANT: "constant bits"}
BITS, TIME = "bit operations, of static training's", "simulated time, of static training's"


def add_times(task: Task, rows: list[dict[str, Any]]) -> None:
    """Add ``simulated_s`` to the rows of a task, where the accelerator trains it by a plan."""
    from cpt.model.training import TorchConfig

    configs = [TorchConfig.from_dict(row["config"]) for row in rows]
    times = Times(task, configs[1] if len(configs) > 1 else configs[0])
    for row, config in zip(rows, configs, strict=True):
        row["simulated_s"] = times.seconds(config)


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> Path:
    """The picture of a task's rows, all as differences to the first."""
    from cpt.model.figures.canvas import save
    from cpt.model.figures.pareto import draw_pareto

    timed = any(row["simulated_s"] for row in rows)
    groups = [_group(rows, table, timed=timed) for table in (*JOINED, SCHEDULES, ADAPTIVE)]
    figure = draw_pareto(groups, (BITS, TIME) if timed else (BITS,), metric(rows[0]["metric"]), title)
    return save(figure, path)


def _group(rows: list[dict[str, Any]], table: str, *, timed: bool) -> Group:
    from cpt.model.figures.pareto import Group

    first = rows[0]
    chosen = {row["row"]: row for row in rows if row["table"] == table and row["against_first"]}
    costs = [{name: row["gbitops"] / first["gbitops"] for name, row in chosen.items()}]
    if timed:
        costs.append(
            {
                name: row["simulated_s"] / first["simulated_s"]
                for name, row in chosen.items()
                if row["simulated_s"]
            }
        )
    points = {name: row["against_first"] for name, row in chosen.items()}
    return Group(JOINED.get(table, table), points, costs, table in JOINED, cut=table == BUDGET)
