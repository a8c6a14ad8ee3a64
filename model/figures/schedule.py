"""Precision over a run (CPT Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, bits_axis, colour, draw_bits, new_figure, whole_numbers


def draw_schedule(rows: Sequence[tuple[float, float]], unit: str = "step", title: str = "") -> Figure:
    """``rows``: (fw, bw) of every ``unit`` (epoch or iteration) of the run; 0 is full precision."""
    figure, (axes,) = new_figure(height_inches=2.8)
    forward, backward = zip(*rows, strict=True)
    draw_bits(axes, backward, color=colour(1), linestyle="--", label="gradients")
    draw_bits(axes, forward, color=colour(0), label="weights, activations")
    bits_axis(axes, [*forward, *backward])
    axes.set_xlabel(unit)
    axes.set_xlim(0, len(rows))
    whole_numbers(axes.xaxis)
    axes.set_title(title, loc="left", fontsize="medium")
    add_legend(figure)
    return figure
