"""The rows of a page of results, from finished runs."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any

from cpt.experiments import Row, Section
from cpt.model.units import metric
from cpt.paired import interval
from cpt.results_runs import Job, Result, Runs


def section_rows(runs: Runs, section: Section) -> list[dict[str, Any]]:
    """What the finished runs of a section came to; differences are those of equal seeds."""
    found = {row.name: runs.finished(section, row) for row in section.rows}
    return [_row(runs, section, row, found) for row in section.rows if found[row.name]]


def _row(runs: Runs, section: Section, row: Row, found: dict[str, dict[int, Result]]) -> dict[str, Any]:
    results, base = found[row.name], found[row.base]
    values = [result.value for result in results.values()]
    first = found[section.rows[0].name]
    work, reference = (
        statistics.mean(result.gbitops for result in group.values()) if group else math.nan
        for group in (results, base)
    )
    task, baseline = runs.task(section), runs.baseline(section)
    config = runs.config(Job(section, row, 0))
    assert config is not None
    return {
        "row": row.name,
        "base": row.base,
        "table": row.table,
        "config": config.as_dict(),
        "dataset_sha256": runs.data_sha256(section),
        "seeds": len(results),
        "planned": row.seeds,
        "metric": task.metric,
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
        "eval_bits": next(iter(results.values())).eval_bits,
        "gbitops": work,
        "saving": None if math.isnan(reference) else 1 - work / reference,
        "gain": interval(_gains(results, base)) if row.name != row.base else None,
        "against_first": interval(_gains(results, first)) if row != section.rows[0] else None,
        "values": {str(seed): result.value for seed, result in results.items()},
        "baseline": dataclasses.asdict(baseline),
        "beats_baseline": _beats(task.metric, values, baseline.value),
    }


def _gains(results: dict[int, Result], base: dict[int, Result]) -> list[float]:
    """Differences of equal seeds."""
    return [results[seed].value - base[seed].value for seed in results if seed in base]


def _beats(name: str, values: list[float], baseline: float) -> bool:
    """Whether the mean is better than the baseline: by its interval, or as it stands if it has none."""
    gains = [value - baseline for value in values]
    _, low, high = interval(gains) or (gains[0],) * 3
    return low > 0 if metric(name).more_is_better else high < 0
