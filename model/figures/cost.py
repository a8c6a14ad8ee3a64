"""The metric reached against the work of training (CPT Fig. 5)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from cpt.model.figures.canvas import add_legend, colour, marker, new_figure
from cpt.model.figures.history import History, repeats

_LOG_FROM = 4.0
"""Ratio of most to least work from which on its axis is logarithmic."""
LEAST_SPAN, LEAST_SHARE = 5.0, 0.05
"""Least height of the panel, in points of accuracy, and as a share of any other metric: two images are not
drawn as high as a difference that means something."""


def widen(axes: Axes, least: float) -> None:
    """Make the y axis span at least ``least``, around what it shows."""
    low, high = axes.get_ylim()
    missing = least - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)


def draw_cost(runs: Sequence[History]) -> Figure:
    """A small point per run; a large one with the standard deviation for the mean of repeated runs."""
    figure, (axes,) = new_figure()
    groups = repeats(runs)
    for index, (label, group) in enumerate(groups.items()):
        work = [run.gbitops for run in group]
        reached = [run.final for run in group]
        if len(group) > 1:
            axes.scatter(
                work, reached, s=12, marker=marker(index), color=colour(index), alpha=0.5, linewidths=0
            )
        deviation = statistics.stdev(reached) if len(group) > 1 else None
        axes.errorbar(
            statistics.mean(work),
            statistics.mean(reached),
            deviation,
            fmt=marker(index),
            color=colour(index),
            capsize=3,
            label=label if len(group) == 1 else f"{label} (mean of {len(group)})",
        )
    axes.set(xlabel="work of training (GBitOPs)", ylabel=runs[0].metric_label)
    amounts = [run.gbitops for run in runs]
    if max(amounts) > _LOG_FROM * min(amounts):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    least = LEAST_SPAN if runs[0].metric == "accuracy" else LEAST_SHARE * abs(runs[0].final)
    widen(axes, least)
    axes.set_title(runs[0].experiment, loc="left", fontsize="medium")
    add_legend(figure)
    return figure
