"""Learned precision of every layer (LDP Figs. 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure

from cpt.model.figures.canvas import bits_axis, draw_bits, new_figure, whole_numbers

_ROW_INCHES = 0.2


def draw_layer_curves(bits: Mapping[str, Sequence[int]], title: str = "") -> Figure:
    """Bits of every layer after every epoch, as steps; colour is depth, the mean of all layers is black."""
    figure, (axes,) = new_figure()
    scale = Normalize(1, max(len(bits), 2))
    colours = mpl.colormaps["viridis"]
    # Layers often agree: a small shift per layer keeps all of them visible.
    shifts = np.linspace(-0.18, 0.18, len(bits)) if len(bits) > 1 else np.zeros(1)
    for index, (shift, values) in enumerate(zip(shifts, bits.values(), strict=True)):
        draw_bits(axes, np.array(values) + shift, color=colours(scale(index + 1)), linewidth=1.0)
    table = np.array(list(bits.values()))  # (layers, epochs)
    mean = table.mean(0)
    axes.plot(np.arange(len(mean)) + 0.5, mean, color="black", linewidth=1.5, label="mean of all layers")
    bits_axis(axes, table.ravel().tolist())
    axes.set_xlabel("epoch")
    whole_numbers(axes.xaxis)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.legend(frameon=False)
    figure.colorbar(ScalarMappable(scale, colours), ax=axes, label="layer, counted from the input")
    return figure


def draw_layer_map(bits: Mapping[str, Sequence[int]], title: str = "") -> Figure:
    """Bits as colours: layers from top to bottom, epochs from left to right."""
    table = np.array(list(bits.values()))  # (layers, epochs)
    figure, (axes,) = new_figure(height_inches=1.6 + _ROW_INCHES * max(len(table), 6))
    axes.grid(False)
    low, high = int(table.min()), int(table.max())
    levels: Any = np.arange(low, high + 2) - 0.5
    colours = mpl.colormaps["viridis"].resampled(high - low + 1)
    norm = BoundaryNorm(levels, colours.N) if high > low else Normalize(low - 0.5, high + 0.5)
    mesh = axes.pcolormesh(
        np.arange(table.shape[1] + 1), np.arange(len(table) + 1) - 0.5, table, cmap=colours, norm=norm
    )
    axes.set_yticks(range(len(table)), list(bits), fontsize="x-small")
    axes.invert_yaxis()
    axes.set(xlabel="epoch", ylabel="layer")
    whole_numbers(axes.xaxis)
    axes.set_title(title, loc="left", fontsize="medium")
    figure.colorbar(mesh, ax=axes, ticks=range(low, high + 1), label="precision (bits)")
    return figure
