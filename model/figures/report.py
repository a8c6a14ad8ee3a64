"""All figures that a set of runs gives, and an index of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from cpt.model.figures.canvas import save
from cpt.model.figures.cost import draw_cost
from cpt.model.figures.health import draw_health, most_lost
from cpt.model.figures.history import History, by_label, left_out, repeats
from cpt.model.figures.latency import draw_latency
from cpt.model.figures.layers import draw_layer_curves, draw_layer_map
from cpt.model.figures.planned import planned
from cpt.model.figures.progress import draw_progress
from cpt.model.figures.schedule import draw_schedule
from cpt.model.figures.spread import draw_spread
from cpt.model.figures.sweep import draw_sweep
from cpt.model.files import write_atomically
from cpt.model.health import read_rows
from cpt.model.json_files import read_text
from cpt.model.run_folder import HEALTH
from cpt.model.units import gbitops, metric

INDEX = "report.md"
REPEATS = 3
"""Runs of a method from which on box plots are drawn."""


@dataclass(frozen=True)
class Entry:
    """One figure of the report."""

    experiment: str
    kind: str
    caption: str
    path: Path


def write_report(runs: Sequence[History], folder: Path, suffix: str = "png") -> list[Entry]:
    """Draw every figure into ``folder`` and list them in its ``report.md``.

    Raises `ValueError` for an unknown format and `OSError` naming a file that cannot be written.
    """
    entries = []
    experiments = _experiments(runs)
    for experiment, group in experiments.items():
        for kind, caption, figure in _figures(group):
            path = folder / f"{_slug(f'{experiment} {kind}')}.{suffix}"
            entries.append(Entry(experiment, kind, caption, save(figure, path)))
    write_atomically(folder / INDEX, _index(experiments, entries).encode())
    return entries


def double(runs: Sequence[History]) -> list[History]:
    """Runs that are left out of means, because another has their settings and seed."""
    return [run for group in _experiments(runs).values() for run in left_out(group)]


def _experiments(runs: Sequence[History]) -> dict[str, list[History]]:
    """Runs that may be compared, together."""
    experiments: dict[str, list[History]] = {}
    for run in runs:
        experiments.setdefault(run.experiment, []).append(run)
    return experiments


def _figures(runs: Sequence[History]) -> Iterator[tuple[str, str, Figure]]:
    """(kind, caption, figure) of everything that these runs of one experiment can show."""
    groups = repeats(runs)
    yield "progress", "The metric and the precision over epochs (CPT Fig. 1)", draw_progress(runs)
    yield "cost", "The metric reached against the work of training (CPT Fig. 5)", draw_cost(runs)
    if any(len(group) >= REPEATS for group in groups.values()):
        yield "spread", "The metric over repeated runs (CPT Fig. 7)", draw_spread(runs)
    if len({run.cycles for run in runs if run.cycles is not None}) > 1:
        yield "sweep", "The metric against the number of cycles (CPT Fig. 8)", draw_sweep(runs)
    for label, group in groups.items():
        first = group[0]
        if first.method != "static" and first.method != "fp32":
            rows, unit = planned(first)
            yield f"schedule {label}", f"Precision of {label} (CPT Fig. 9)", draw_schedule(rows, unit, label)
        if bits := first.layer_bits():
            name = f"{label}, {first.folder.name}"
            yield (
                f"layers {label}",
                f"Bits of every layer, {name} (LDP Fig. 4)",
                draw_layer_curves(bits, name),
            )
            yield f"map {label}", f"Map of layers and epochs, {name} (LDP Fig. 5)", draw_layer_map(bits, name)
    for run in runs:
        if (run.folder / HEALTH).is_file():
            measured = read_rows(read_text(run.folder / HEALTH).splitlines())
            for layer in most_lost(measured):
                caption = f"What {layer} of {run.folder.name} loses to its grid, the most of all layers"
                yield f"health {run.folder.name}", caption, draw_health(measured, layer)
    if runs[0].on_accelerator:
        ones = [group[0] for group in by_label(runs).values()]
        yield "latency", "Precision and simulated time of every epoch", draw_latency(ones)


def _index(experiments: dict[str, list[History]], entries: Sequence[Entry]) -> str:
    """The report as Markdown: a table of runs and the figures, per experiment."""
    lines = ["# Figures", ""]
    for experiment, runs in experiments.items():
        lines += [
            f"## {experiment}",
            "",
            f"| method | runs | {runs[0].metric_label} | GBitOPs |",
            "|---|---|---|---|",
        ]
        digits = metric(runs[0].metric).digits
        for label, group in repeats(runs).items():
            mean = sum(run.final for run in group) / len(group)
            work = sum(run.gbitops for run in group) / len(group)
            lines.append(f"| {label} | {len(group)} | {mean:.{digits}f} | {gbitops(work)} |")
        lines.append("")
        for entry in entries:
            if entry.experiment == experiment:
                lines += [f"{entry.caption}:", "", f"![{entry.caption}]({entry.path.name})", ""]
    return "\n".join(lines)


def _slug(text: str) -> str:
    """A file name of lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
