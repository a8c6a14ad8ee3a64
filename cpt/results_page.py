"""The page docs/results.md: tables and conclusions from the rows of `cpt.results`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cpt.model.units import gbitops, metric, percent, precision
from cpt.results_reading import reading

CONFIDENCE = 0.95
INTRODUCTION = """\
# Results on the bundled data

Written by `make results`, which trains what is missing and resumes what was interrupted; results.json
beside it has the figure of each run. Training in torch on one CPU thread; seeds count from 0. Mean ±
standard deviation over seeds of the last epoch's test figure, evaluated at the stated bits. Difference and
saving are to the row named, seed by seed, with the 95 % interval of the mean difference (Student's t).
GBitOPs: quantised layers at their bits, the others at the mean of those; FP32 counts as 32 bits. Learning
rates: the best of three on a fifth of the training data held back, for each method apart; rows of fewer
bits and other lengths have the rate of the method they vary. Rows marked † are no better than the baseline
under their table, which looks at labels or inputs alone: nothing can be read from them.

The data sets are small: the figures compare methods on them, and say little about CIFAR or ImageNet."""


def interval(gains: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of paired differences and the ends of its 95 % interval (Student's t); None for under 2 pairs."""
    if len(gains) < 2:
        return None
    from scipy.stats import t

    mean = statistics.mean(gains)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(gains) - 1))
    half *= statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, mean - half, mean + half


def page(tables: Iterable[tuple[str, str, list[dict[str, Any]]]]) -> str:
    """Markdown; ``tables``: title, name of the data and rows of each section."""
    tables = list(tables)
    lines = [INTRODUCTION, *_found(tables)]
    for title, data, rows in tables:
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append("No run has finished.")
            continue
        shown, baseline = metric(rows[0]["metric"]), rows[0]["baseline"]
        lines.append(
            f"Data `{data}`, sha256 `{rows[0]['dataset_sha256'][:16]}`. {_settings(rows[0]['config'])}. "
            f"Baseline: {baseline['name']}, {shown.text(baseline['value'])}."
        )
        for table in dict.fromkeys(row["table"] for row in rows):
            lines += ["", *_table([row for row in rows if row["table"] == table], rows[0]["config"])]
    return "\n".join(lines) + "\n"


def _found(tables: Iterable[tuple[str, str, list[dict[str, Any]]]]) -> list[str]:
    """The answers first."""
    lines = []
    for title, _, rows in tables:
        if sentences := reading(rows):
            lines += ["", f"**{title}**", "", *(f"- {sentence}" for sentence in sentences)]
    return ["", "## What was found", *lines] if lines else []


def _table(rows: list[dict[str, Any]], first: dict[str, Any]) -> list[str]:
    """Rows that stand together, and what they say; ``first``: settings of the section's first row."""
    shown = metric(rows[0]["metric"])
    heading = f"test {shown.name}" + (f", {shown.unit}" if shown.unit else "")
    return [
        f"### {rows[0]['table']}",
        "",
        _cells("method", "precision", "seeds", heading, "at", "difference", "to", "GBitOPs", "saved"),
        "|---|---|---|---|---|---|---|---|---|",
        *(_line(row, shown.factor, shown.digits) for row in rows),
        "",
        *(
            f"- {row['row']}{_own_settings(row['config'], first)}: {_conclusion(row)}"
            for row in rows
            if row["row"] != row["base"]
        ),
    ]


def _line(row: dict[str, Any], factor: float, digits: int) -> str:
    config = row["config"]
    low, high = config["fw"]
    cyclic = low < high and config["method"] not in ("static", "fp32")
    at = precision((low, high) if cyclic else high, config["bw"][1])
    stages = f"FW {' '.join(map(str, config['pfq_fw']))}, BW {' '.join(map(str, config['pfq_bw']))}"
    at = {"fp32": "FP32", "pfq": stages}.get(config["method"], at)
    spread = "" if row["deviation"] is None else f" ± {factor * row['deviation']:.{digits}f}"
    bits = {0: "FP32", "learned": "learned bits"}.get(row["eval_bits"], f"FW{row['eval_bits']}")
    gain = ""
    if row["gain"]:
        mean, low_end, high_end = (factor * value for value in row["gain"])
        gain = f"{mean:+.{digits}f} ({low_end:+.{digits}f} .. {high_end:+.{digits}f})"
    saved = "" if row["row"] == row["base"] or row["saving"] < -1 else percent(round(row["saving"], 3) + 0.0)
    seeds = f"{row['seeds']}" if row["seeds"] == row["planned"] else f"{row['seeds']} of {row['planned']}"
    value = f"{factor * row['mean']:.{digits}f}{spread}"
    name = row["row"] + ("" if row["beats_baseline"] else " †")
    to = "" if row["row"] == row["base"] else row["base"]
    return _cells(name, at, seeds, value, bits, gain, to, gbitops(row["gbitops"]), saved)


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _conclusion(row: dict[str, Any]) -> str:
    """What the figures say about one row."""
    shown = metric(row["metric"])
    factor, digits, more_is_better = shown.factor, shown.digits, shown.more_is_better
    saving = row["saving"]
    work = f"{percent(abs(saving))} {'fewer' if saving >= 0 else 'more'} bit operations"
    if saving < -1:
        work = f"{1 - saving:.1f} times the bit operations"
    elif abs(saving) < 5e-4:
        work = "as many bit operations"
    base = row["base"]
    if not row["beats_baseline"]:
        return f"{work}; no better than the baseline."
    if row["gain"] is None:
        return f"{work}; too few seeds for a comparison."
    mean, low, high = (factor * value for value in row["gain"])
    if low <= 0 <= high:
        return f"{work}; no difference to {base} shown ({mean:+.{digits}f}, interval holds 0)."
    better = (mean > 0) == more_is_better
    return f"{work}; {'better' if better else 'worse'} than {base} by {abs(mean):.{digits}f}."


def _own_settings(config: dict[str, Any], first: dict[str, Any]) -> str:
    """How a row is trained where that differs from the first row."""
    parts = []
    if config["steps"] != first["steps"]:
        parts.append(f"{config['steps']:,} steps")
    if any(config[name] != first[name] for name in ("optimiser", "weight_decay")):
        parts.append(_optimiser(config))
    elif config["lr"] != first["lr"]:
        parts.append(f"learning rate {config['lr']:g}")
    if config["micro_batch"] != first["micro_batch"]:
        parts.append(f"micro-batches of {config['micro_batch']}")
    if config["method"] == "ldp":
        parts.append(f"of the bits {config['ldp_lr']:g}")
    return f" ({', '.join(parts)})" if parts else ""


def _optimiser(config: dict[str, Any]) -> str:
    return f"{config['optimiser']}, learning rate {config['lr']:g}, weight decay {config['weight_decay']:g}"


def _settings(config: dict[str, Any]) -> str:
    return (
        f"{config['model']}, width {config['width']}, {config['epochs']} epochs, "
        f"batch {config['batch_size']}, {_optimiser(config)}, {config['lr_schedule']} schedule, "
        f"{config['cycles']} precision cycles, moved per {config['per']}"
    )
