"""What a layer's numbers lose at each precision: their range against the grid, and what falls through it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, colour, new_figure
from cpt.model.health import TENSORS, Health

_SMALLEST = 1e-12
"""Magnitudes below are drawn there: the axes are logarithmic."""


def draw_health(rows: Sequence[Health], layer: str) -> Figure:
    """A panel for each tensor of ``layer`` over steps: magnitudes between one step of the grid and its end,
    the tensor's largest, and root mean square error; below them the shares that are lost.

    Raises `ValueError` naming the layers there are, if ``layer`` is none of them.
    """
    own = [row for row in rows if row.layer == layer]
    if not own:
        names = ", ".join(dict.fromkeys(row.layer for row in rows)) or "none"
        raise ValueError(f"layer is {layer!r}; allowed: {names}")
    figure, panels = new_figure(len(TENSORS) + 1, 8.0)
    for axes, tensor in zip(panels, TENSORS, strict=False):
        found = [row for row in own if row.tensor == tensor]
        steps = [row.step for row in found]
        ends = [_shown(max(abs(row.grid_lo), abs(row.grid_hi))) for row in found]
        first = tensor == TENSORS[0]
        axes.fill_between(
            steps,
            [_shown(row.grid_step / 2) for row in found],
            ends,
            color="0.85",
            step="mid",
            label="grid: half a step to its end" if first else None,
        )
        for index, (name, values) in enumerate(
            (
                ("largest number", [_shown(max(abs(row.lo), abs(row.hi))) for row in found]),
                ("root mean square", [_shown(row.power**0.5) for row in found]),
                ("root mean square error", [_shown(row.mse**0.5) for row in found]),
            )
        ):
            axes.plot(steps, values, color=colour(index), label=name if first else None, linewidth=1)
        axes.set_yscale("log", base=2)
        axes.set_ylabel(f"{tensor}\nmagnitude")
    shares = panels[-1]
    for index, tensor in enumerate(TENSORS):
        found = [row for row in own if row.tensor == tensor]
        lost = [100 * (row.underflow + row.saturation) for row in found]
        shares.plot([row.step for row in found], lost, color=colour(index + 3), label=f"{tensor}: lost")
    shares.set_ylabel("below half a step\nor beyond, %")
    shares.set_xlabel("training step")
    figure.suptitle(layer)
    add_legend(figure)
    return figure


def most_lost(rows: Sequence[Health]) -> list[str]:
    """The layer whose gradients have the largest error for their power, on average; none without rows."""
    noise: dict[str, list[float]] = {}
    for row in rows:
        if row.tensor == "gradient" and row.power:
            noise.setdefault(row.layer, []).append(row.mse / row.power)
    return [max(noise, key=lambda layer: math.fsum(noise[layer]) / len(noise[layer]))] if noise else []


def _shown(value: float) -> float:
    return max(value, _SMALLEST)
