"""The page docs/results.md: tables and conclusions from the rows of `cpt.results`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cpt.model.units import gbitops, metric, percent, precision

CONFIDENCE = 0.95
INTRODUCTION = """\
# Results on the bundled data

Written by `make results`, which trains what is missing and resumes what was interrupted. Training in torch on
one CPU thread; within a section every method has the same epochs and batches and, unless its line says
otherwise, the same optimiser; seeds count from 0. Mean ± standard deviation over seeds of the last epoch's
test figure, evaluated at the stated bits.
Difference and saving are to the static row, those of CPT with another quantiser to static training with the
same one; seed by seed, with the 95 % interval of the mean difference (Student's t). GBitOPs: quantised
layers at their bits, the others at the mean of those; FP32 counts as 32 bits. The data sets are small: the
figures compare methods on them, and say little about CIFAR or ImageNet."""


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
    lines = [INTRODUCTION]
    for title, data, rows in tables:
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append("No run has finished.")
            continue
        shown = metric(rows[0]["metric"])
        heading = f"test {shown.name}" + (f", {shown.unit}" if shown.unit else "")
        lines += [
            _cells("method", "precision", "seeds", heading, "at", "difference", "GBitOPs", "saved"),
            "|---|---|---|---|---|---|---|---|",
            *(_line(row, shown.factor, shown.digits) for row in rows),
            "",
            f"Data `{data}`, sha256 `{rows[0]['dataset_sha256'][:16]}`. "
            + _settings(rows[0]["config"])
            + ".",
            "",
            *(
                f"- {row['row']}{_own_settings(row['config'], rows[0]['config'])}: {_conclusion(row)}"
                for row in rows
                if row["row"] != row["base"]
            ),
        ]
    return "\n".join(lines) + "\n"


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
    saved = "" if row["row"] == row["base"] or row["saving"] < -1 else percent(row["saving"])
    seeds = f"{row['seeds']}" if row["seeds"] == row["planned"] else f"{row['seeds']} of {row['planned']}"
    value = f"{factor * row['mean']:.{digits}f}{spread}"
    return _cells(row["row"], at, seeds, value, bits, gain, gbitops(row["gbitops"]), saved)


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
    if row["gain"] is None:
        return f"{work}; too few seeds for a comparison."
    mean, low, high = (factor * value for value in row["gain"])
    if low <= 0 <= high:
        return f"{work}; no difference to {base} shown ({mean:+.{digits}f}, interval holds 0)."
    better = (mean > 0) == more_is_better
    return f"{work}; {'better' if better else 'worse'} than {base} by {abs(mean):.{digits}f}."


def _own_settings(config: dict[str, Any], first: dict[str, Any]) -> str:
    """How a row is trained where that differs from the first row."""
    if config["method"] == "ldp":
        return f" (learning rate of the bits {config['ldp_lr']:g})"
    names = ("optimiser", "lr", "weight_decay")
    same = all(config[name] == first[name] for name in names)
    return "" if same else f" ({_optimiser(config)})"


def _optimiser(config: dict[str, Any]) -> str:
    return f"{config['optimiser']}, learning rate {config['lr']:g}, weight decay {config['weight_decay']:g}"


def _settings(config: dict[str, Any]) -> str:
    return (
        f"{config['model']}, width {config['width']}, {config['epochs']} epochs, "
        f"batch {config['batch_size']}, {_optimiser(config)}, {config['lr_schedule']} schedule, "
        f"{config['cycles']} precision cycles, moved per {config['per']}"
    )
