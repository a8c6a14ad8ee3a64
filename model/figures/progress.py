"""The metric over epochs, one line per method (CPT Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, bits_axis, colour, draw_bits, line, new_figure, whole_numbers
from cpt.model.figures.history import History, repeats

_MARKED = 30
"""Epochs up to which every one has a mark."""


def draw_progress(runs: Sequence[History]) -> Figure:
    """Mean of repeated runs, shaded from the lowest to the highest; below it each method's precision."""
    figure, (axes, below) = new_figure(panels=2, height_inches=5.2)
    shown: list[float] = []
    for index, (label, group) in enumerate(repeats(runs).items()):
        length = min(len(run.rows) for run in group)
        values = np.array([run.values()[:length] for run in group])  # (runs, epochs)
        epochs = group[0].epochs[:length]
        name = label if len(group) == 1 else f"{label} (mean of {len(group)})"
        style = {"color": colour(index), "linestyle": line(index)}
        mark = "." if length <= _MARKED else None
        axes.plot(epochs, values.mean(0), linewidth=1.5, marker=mark, label=name, **style)
        if len(group) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=colour(index), alpha=0.15)
        bits = [fw for fw, _ in group[0].bits()]
        if min(bits) > 0:
            draw_bits(below, bits, **style)
            shown += bits
    axes.set_ylabel(runs[0].metric_label)
    axes.set_title(runs[0].experiment, loc="left", fontsize="medium")
    if shown:
        bits_axis(below, shown)
    below.set_xlabel("epochs done")
    whole_numbers(below.xaxis)
    add_legend(figure)
    return figure
