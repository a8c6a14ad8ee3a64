"""Operations per second of passes against what array and memory let them do (a roofline)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, colour, marker, new_figure

_PANEL_INCHES, _REST_INCHES = 2.5, 1.6
_MARGIN = 2.0
"""Factor by which the axes go beyond what they show."""


@dataclass(frozen=True)
class Panel:
    """A step at one precision. Rates are 1e9 operations a second."""

    title: str
    peaks: Mapping[str, float]
    """Of the array, by the bits of its operands."""
    points: Mapping[str, Sequence[tuple[float, float]]]
    """Operations per byte and rates, by pass."""


def draw_roofline(
    panels: Sequence[Panel], memory_gbytes: float, other: tuple[str, float], title: str
) -> Figure:
    """A panel for each precision: the memory's slope, a line for each of the array's peaks, a point for each
    layer and pass, and the roof of ``other``, a name and a rate."""
    figure, panes = new_figure(len(panels), _REST_INCHES + _PANEL_INCHES * len(panels))
    low, high, top = _extent(panels, memory_gbytes, other[1])
    for index, (axes, panel) in enumerate(zip(panes, panels, strict=True)):
        _draw(axes, panel, memory_gbytes, other, (low, high), named=not index)
        axes.set_title(f"{title}\n{panel.title}" if not index else panel.title, loc="left", fontsize="medium")
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylabel="GOPS")
        axes.set_ylim(top=_MARGIN * top)
    panes[-1].set_xlabel("operations per byte moved")
    add_legend(figure)
    return figure


def _extent(panels: Sequence[Panel], memory: float, other: float) -> tuple[float, float, float]:
    """Least and most operations per byte, and the highest rate."""
    intensities = [x for panel in panels for found in panel.points.values() for x, _ in found]
    top = max(other, *(peak for panel in panels for peak in panel.peaks.values()))
    return min(intensities) / _MARGIN, _MARGIN * max(*intensities, top / memory), top


def _draw(
    axes: Axes,
    panel: Panel,
    memory: float,
    other: tuple[str, float],
    extent: tuple[float, float],
    *,
    named: bool,
) -> None:
    """One panel; ``named``: with labels for the legend."""
    low, high = extent
    highest = max(panel.peaks.values())
    slope = np.array([low, highest / memory])
    axes.plot(slope, memory * slope, color="0.4", label=f"memory, {memory:g} GB/s" if named else None)
    for bits, peak in panel.peaks.items():
        axes.plot([peak / memory, high], [peak, peak], color="0.4")
        axes.annotate(f"array, {bits} bits", (high, peak), ha="right", va="bottom", fontsize="small")
    axes.axhline(other[1], color="black", linestyle="--", label=other[0] if named else None)
    for index, (which, found) in enumerate(panel.points.items()):
        x, y = zip(*found, strict=True)
        axes.scatter(
            x, y, s=14, color=colour(index), marker=marker(index), label=which if named else None, zorder=3
        )
