"""Loss around trained weights, along one random direction or two (CPT Figs. 2 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from model.figures.canvas import colour, new_figure

_LEVELS = 20
_FAR = 50.0
"""Losses above this many times the lowest are drawn at that height: cliffs would flatten all else."""


def draw_profile(positions: np.ndarray, losses: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Loss along one direction: ``positions`` (P,), a line per entry of ``losses`` (P,)."""
    figure, (axes,) = new_figure()
    for index, (label, values) in enumerate(losses.items()):
        axes.plot(positions, values, color=colour(index), linewidth=1.5, label=label)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="distance along a filter-normalised direction", ylabel="loss")
    axes.set_title(title, loc="left", fontsize="medium")
    if len(losses) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_surface(positions: np.ndarray, losses: np.ndarray, title: str = "") -> Figure:
    """Loss over two directions as contours: ``losses`` (P, P), rows along the first direction."""
    figure, (axes,) = new_figure(height_inches=5.2)
    axes.grid(False)
    low = float(np.nanmin(losses))
    high = min(float(np.nanmax(losses)), _FAR * max(low, 1e-6))
    levels = np.geomspace(max(low, 1e-6), max(high, low * 1.01, 2e-6), _LEVELS)
    values = np.clip(losses.T, levels[0], levels[-1])
    filled = axes.contourf(positions, positions, values, levels=levels, cmap="viridis", norm="log")
    lines = axes.contour(positions, positions, values, levels=levels[::3], colors="white", linewidths=0.6)
    axes.clabel(lines, fmt="%.3g", fontsize="x-small")
    axes.plot(0, 0, "+", color="white", markersize=10)
    axes.set_aspect("equal")
    axes.set(xlabel="first direction (filter-normalised)", ylabel="second direction (filter-normalised)")
    axes.set_title(title, loc="left", fontsize="medium")
    figure.colorbar(filled, ax=axes, label="loss", format="%.3g")
    return figure
