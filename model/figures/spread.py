"""Box plots of the metric over repeated runs (CPT Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cpt.model.figures.canvas import colour, new_figure
from cpt.model.figures.history import History, repeats


def draw_spread(runs: Sequence[History]) -> Figure:
    """A box per method: quartiles, median, whiskers to the furthest run within 1.5 boxes; and all runs."""
    groups = repeats(runs)
    figure, (axes,) = new_figure(height_inches=1.4 + 0.5 * len(groups))
    columns = [[run.final for run in group] for group in groups.values()]
    places = list(range(len(columns)))
    boxes = axes.boxplot(
        columns, positions=places, widths=0.5, showfliers=False, patch_artist=True, orientation="horizontal"
    )
    for index, box in enumerate(boxes["boxes"]):
        box.set(facecolor=colour(index), alpha=0.3)
    for line in boxes["medians"]:
        line.set_color("black")
    for index, column in enumerate(columns):
        offsets = np.linspace(-0.12, 0.12, len(column)) if len(column) > 1 else np.zeros(1)
        axes.scatter(column, index + offsets, s=14, color=colour(index), zorder=3)
    names = [f"{label}\n{len(group)} run{'s' * (len(group) > 1)}" for label, group in groups.items()]
    axes.set_yticks(places, names, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(runs[0].metric_label)
    axes.set_title(runs[0].experiment, loc="left", fontsize="medium")
    return figure
