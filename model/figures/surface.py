"""Loss around trained weights, along one random direction or two (CPT Figs. 2 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cpt.model.figures.canvas import colour, new_figure

_LEVELS = 24
_LEAST = 1e-6
"""Losses below this are drawn at it: both figures are logarithmic, as losses span many powers of ten."""


def draw_profile(positions: np.ndarray, losses: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Loss along one direction: ``positions`` (P,), a line per entry of ``losses`` (P,)."""
    figure, (axes,) = new_figure()
    for index, (label, values) in enumerate(losses.items()):
        axes.plot(positions, np.maximum(values, _LEAST), color=colour(index), linewidth=1.5, label=label)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="distance along a filter-normalised direction", ylabel="training loss", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title(title, loc="left", fontsize="medium")
    if len(losses) > 1:
        figure.legend(loc="outside lower center", frameon=False)
    return figure


def draw_surface(
    positions: np.ndarray, losses: np.ndarray, limits: tuple[float, float], title: str = ""
) -> Figure:
    """Loss over two directions as contours: ``losses`` (P, P), first direction first.

    ``limits``: lowest and highest loss of the colours, the same for figures that are to be compared.
    """
    figure, (axes,) = new_figure(height_inches=5.2)
    axes.grid(False)
    low, high = (max(value, _LEAST) for value in limits)
    levels = np.geomspace(low, max(high, 1.01 * low), _LEVELS)
    values = np.clip(losses.T, levels[0], levels[-1])
    filled = axes.contourf(positions, positions, values, levels=levels, cmap="viridis", norm="log")
    lines = axes.contour(positions, positions, values, levels=levels[2::3], colors="white", linewidths=0.6)
    axes.clabel(lines, fmt="%.2g", fontsize="x-small")
    axes.plot(0, 0, "+", color="white", markersize=10)
    axes.set_aspect("equal")
    axes.set(xlabel="first direction (filter-normalised)", ylabel="second direction (filter-normalised)")
    axes.set_title(title, loc="left", fontsize="medium")
    figure.colorbar(filled, ax=axes, label="training loss", format="%.2g", ticks=levels[::3])
    return figure
