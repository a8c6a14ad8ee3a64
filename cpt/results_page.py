"""A page of results: tables and conclusions from the rows of `cpt.results_rows`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cpt.model.units import duration, gbitops, metric, percent, precision
from cpt.paired import NO_DIFFERENCE, outcome

WIDTH = 110
Reading = Callable[[Sequence[dict[str, Any]]], list[str]]
FIGURES = """\
Training in torch on one CPU thread; seeds count from 0. Mean ± standard deviation over seeds of the last
epoch's test figure, evaluated at the stated bits. Difference and saving are to the row named, seed by seed,
with the 95 % interval of the mean difference (Student's t). GBitOPs: quantised layers at their bits, the
others at the mean of those; FP32 counts as 32 bits. Rows marked † are no better than the baseline under
their table, which looks at labels or inputs alone: nothing can be read from them."""
"""How the figures of every page come about."""
SMALL = """\
The data sets are small: the figures compare methods on them, and say little about CIFAR or ImageNet."""


@dataclass(frozen=True)
class Table:
    """A section of the page; ``picture``: file beside the page, if there is one."""

    title: str
    data: str
    rows: list[dict[str, Any]]
    picture: str = ""


@dataclass(frozen=True)
class Texts:
    """What a page says beside its tables."""

    introduction: str
    reading: Reading
    """Sentences about the rows of a section."""


def page(tables: Iterable[Table], texts: Texts) -> str:
    """Markdown of all sections."""
    tables = list(tables)
    lines = [_wrapped(texts.introduction), *_found(tables, texts.reading)]
    for table in tables:
        rows = table.rows
        lines += ["", f"## {table.title}", ""]
        if not rows:
            lines.append("No run has finished.")
            continue
        shown, baseline = metric(rows[0]["metric"]), rows[0]["baseline"]
        lines.append(
            f"Data `{table.data}`, sha256 `{rows[0]['dataset_sha256'][:16]}`. "
            f"{_settings(rows[0]['config'])}. Baseline: {baseline['name']}, {shown.text(baseline['value'])}."
        )
        if table.picture:
            lines += ["", f"![{table.title}]({table.picture})"]
        for name in dict.fromkeys(row["table"] for row in rows):
            lines += ["", *_table([row for row in rows if row["table"] == name], rows[0]["config"])]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> str:
    """Paragraphs in lines of at most `WIDTH` characters."""
    return "\n\n".join(textwrap.fill(paragraph, WIDTH) for paragraph in text.split("\n\n"))


def _found(tables: Iterable[Table], reading: Reading) -> list[str]:
    """The answers first."""
    lines = []
    for table in tables:
        if sentences := reading(table.rows):
            lines += ["", f"**{table.title}**", "", *(f"- {sentence}" for sentence in sentences)]
    return ["", "## What was found", *lines] if lines else []


def _table(rows: list[dict[str, Any]], first: dict[str, Any]) -> list[str]:
    """Rows that stand together, and what they say; ``first``: settings of the section's first row."""
    shown = metric(rows[0]["metric"])
    heading = f"test {shown.name}" + (f", {shown.unit}" if shown.unit else "")
    cells = ["method", "precision", "seeds", heading, "at", "difference", "to", "GBitOPs", "saved"]
    if timed := any(row.get("simulated_s") for row in rows):
        cells.append("simulated")
    return [
        f"### {rows[0]['table']}",
        "",
        _cells(*cells),
        f"|{'---|' * len(cells)}",
        *(_line(row, shown.factor, shown.digits, timed=timed) for row in rows),
        "",
        *(
            f"- {row['row']}{_own_settings(row['config'], first)}: {_conclusion(row)}"
            for row in rows
            if row["row"] != row["base"]
        ),
    ]


def _line(row: dict[str, Any], factor: float, digits: int, *, timed: bool) -> str:
    config = row["config"]
    low, high = config["fw"]
    cyclic = low < high and config["method"] not in ("static", "fp32")
    at = precision((low, high) if cyclic else high, config["bw"][1])
    stages = f"FW {' '.join(map(str, config['pfq_fw']))}, BW {' '.join(map(str, config['pfq_bw']))}"
    at = {"fp32": "FP32", "pfq": stages}.get(config["method"], at)
    spread = "" if row["deviation"] is None else f" ± {factor * row['deviation']:.{digits}f}"
    bits = {0: "FP32", "learned": "by layer"}.get(row["eval_bits"], f"FW{row['eval_bits']}")
    gain = ""
    if row["gain"]:
        mean, low_end, high_end = (factor * value for value in row["gain"])
        gain = f"{mean:+.{digits}f} ({low_end:+.{digits}f} .. {high_end:+.{digits}f})"
    saving = row["saving"]
    told = saving is not None and saving >= -1 and row["row"] != row["base"]
    saved = percent(round(saving, 3) + 0.0) if told else ""
    seeds = f"{row['seeds']}" if row["seeds"] == row["planned"] else f"{row['seeds']} of {row['planned']}"
    value = f"{factor * row['mean']:.{digits}f}{spread}"
    name = row["row"] + ("" if row["beats_baseline"] else " †")
    to = "" if row["row"] == row["base"] else row["base"]
    seconds = row.get("simulated_s")
    time = [duration(seconds) if seconds else ""] if timed else []
    return _cells(name, at, seeds, value, bits, gain, to, gbitops(row["gbitops"]), saved, *time)


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _conclusion(row: dict[str, Any]) -> str:
    """What the figures say about one row."""
    shown = metric(row["metric"])
    saving, base = row["saving"], row["base"]
    if saving is None:
        return f"{base} is not finished."
    work = f"{percent(abs(saving))} {'fewer' if saving >= 0 else 'more'} bit operations"
    if saving < -1:
        work = f"{1 - saving:.1f} times the bit operations"
    elif abs(saving) < 5e-4:
        work = "as many bit operations"
    if not row["beats_baseline"]:
        return f"{work}; no better than the baseline."
    if row["gain"] is None:
        return f"{work}; too few seeds for a comparison."
    found = outcome(row["gain"], more_is_better=shown.more_is_better)
    mean = shown.factor * row["gain"][0]
    if found == NO_DIFFERENCE:
        return f"{work}; no difference to {base} shown ({mean:+.{shown.digits}f}, interval holds 0)."
    return f"{work}; {found} than {base} by {abs(mean):.{shown.digits}f}."


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
