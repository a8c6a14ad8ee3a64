"""The metric against the number of precision cycles N (CPT Fig. 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, colour, new_figure
from cpt.model.figures.history import History, repeats


def draw_sweep(runs: Sequence[History]) -> Figure:
    """A point per run and a line through the means of every N; static runs are dashed lines."""
    figure, (axes,) = new_figure()
    runs = [run for run in runs if run.cycles is not None or run.method in ("static", "fp32")]
    ticks: set[int] = set()
    for index, (label, group) in enumerate(repeats(runs, free=("cycles",)).items()):
        counts = sorted({run.cycles for run in group if run.cycles is not None})
        if not counts:
            mean = float(np.mean([run.final for run in group]))
            axes.axhline(mean, color=colour(index), linestyle="--", linewidth=1.2, label=label)
            continue
        columns = [[run.final for run in group if run.cycles == count] for count in counts]
        axes.plot(counts, [np.mean(column) for column in columns], color=colour(index), label=label)
        for count, column in zip(counts, columns, strict=True):
            axes.scatter([count] * len(column), column, s=14, color=colour(index), zorder=3)
        ticks |= set(counts)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(ticks), [str(count) for count in sorted(ticks)])
    axes.set(xlabel="precision cycles in the run, N", ylabel=runs[0].metric_label)
    axes.set_title(runs[0].experiment, loc="left", fontsize="medium")
    add_legend(figure)
    return figure
