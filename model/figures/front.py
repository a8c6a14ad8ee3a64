"""Time of a training step against what arrays take of a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cpt.model.figures.canvas import add_legend, colour, marker, new_figure


@dataclass(frozen=True)
class Mark:
    """An array."""

    label: str
    share: float
    """Of the part's resource that it takes most of."""
    milliseconds: float
    """Of a step."""
    front: bool
    """Whether no other beats it."""
    preset: str
    """Its name, if it has one."""


def draw_front(marks: Sequence[Mark], title: str) -> Figure:
    """A point for each array, filled where none beats it; one colour for each shape, presets by name."""
    figure, (axes,) = new_figure()
    for index, label in enumerate(dict.fromkeys(item.label for item in marks)):
        for front in (True, False):
            found = [item for item in marks if item.label == label and item.front == front]
            axes.scatter(
                [100 * item.share for item in found],
                [item.milliseconds for item in found],
                s=26,
                marker=marker(index),
                facecolors=colour(index) if front else "none",
                edgecolors=colour(index),
                label=f"{label}{'' if front else ', beaten by another'}" if found else None,
            )
    for item in marks:
        if item.preset:
            axes.annotate(
                item.preset, (100 * item.share, item.milliseconds), (4, 4), textcoords="offset points"
            )
    axes.set(xlabel="of what the part has, the scarcest", ylabel="step, mean of a run (ms)")
    axes.xaxis.set_major_formatter(PercentFormatter())
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.1 * max((item.milliseconds for item in marks), default=1.0))
    axes.set_title(title, loc="left", fontsize="medium")
    if marks:
        add_legend(figure)
    return figure
