"""What few bits in a window of the run do to what it reaches, over the window's place and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, colour, marker, new_figure
from cpt.model.units import metric


def draw_critical(rows: Sequence[Mapping[str, Any]], experiment: str, name: str) -> Figure:
    """A line for each length through the means at its places, whiskers from the least to the best seed.

    ``rows``: start, length and values of each window; the one of length 0 is the run without a window.
    """
    shown = metric(name)
    figure, (axes,) = new_figure()
    for row in rows:
        if not row["length"]:
            mean = shown.factor * sum(row["values"]) / len(row["values"])
            axes.axhline(mean, color="0.5", linestyle="--", label="no window")
    for index, length in enumerate(sorted({row["length"] for row in rows} - {0})):
        group = sorted((row for row in rows if row["length"] == length), key=lambda row: row["start"])
        values = [[shown.factor * value for value in row["values"]] for row in group]
        means = [sum(column) / len(column) for column in values]
        below = [mean - min(column) for mean, column in zip(means, values, strict=True)]
        above = [max(column) - mean for mean, column in zip(means, values, strict=True)]
        axes.errorbar(
            [row["start"] for row in group],
            means,
            yerr=[below, above],
            color=colour(index),
            marker=marker(index),
            capsize=3,
            label=f"{length} of {group[0]['total']}",
        )
    axes.set(xlabel="first epoch or step of the window", ylabel=shown.label)
    axes.set_title(experiment, loc="left", fontsize="medium")
    add_legend(figure)
    return figure
