"""Training accuracy while precision rises (CPT Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cpt.model.figures.canvas import bits_axis, colour, draw_bits, new_figure, whole_numbers


def draw_range_curve(
    curve: Sequence[tuple[int, float]], accuracies: Sequence[float], window: int, lower_bound: int
) -> Figure:
    """``curve``: (bits, training accuracy 0..1) of every step; ``accuracies``: of each precision's window."""
    figure, (axes, below) = new_figure(panels=2, height_inches=4.8)
    bits = [width for width, _ in curve]
    accuracy = 100 * np.array([value for _, value in curve])
    axes.plot(np.arange(len(curve)) + 0.5, accuracy, color="0.8", linewidth=0.7, label="every step")
    steps = len(curve) // len(accuracies)
    for number, value in enumerate(accuracies):
        end = (number + 1) * steps
        label = "_" if number else f"mean of a precision's last {window} steps"
        axes.plot([end - window, end], [100 * value] * 2, color=colour(0), linewidth=2.5, label=label)
    draw_bits(below, bits, color=colour(0))
    bits_axis(below, bits)
    start = bits.index(lower_bound)
    for number, panel in enumerate((axes, below)):
        label = "_" if number else f"lower bound: {lower_bound} bits"
        panel.axvspan(start, start + steps, color=colour(4), alpha=0.25, linewidth=0, label=label)
    axes.set_ylabel("training accuracy (%)")
    below.set_xlabel("training step")
    below.set_xlim(0, len(curve))
    whole_numbers(below.xaxis)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure
