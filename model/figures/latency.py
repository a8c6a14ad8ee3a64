"""Precision and simulated time of the accelerator, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cpt.model.figures.canvas import add_legend, bits_axis, colour, draw_bits, new_figure, whole_numbers
from cpt.model.figures.history import History


def draw_latency(runs: Sequence[History]) -> Figure:
    """Bits above, accelerator seconds of each epoch's training steps below; one colour per run."""
    figure, (above, below) = new_figure(panels=2, height_inches=4.6)
    shown: list[int] = []
    longest = 0.0
    for index, run in enumerate(runs):
        bits = [int(row["fw"]) for row in run.rows]
        seconds = [float(row["epoch_seconds"]) for row in run.rows]
        total = float(run.summary["simulated_seconds"])
        draw_bits(above, bits, color=colour(index))
        draw_bits(below, seconds, color=colour(index), label=f"{run.label}: {total:.3g} s in all")
        shown += bits
        longest = max(longest, *seconds)
    first = runs[0].summary
    bits_axis(above, shown)
    above.set_title(
        f"{runs[0].experiment}\n{first['array']['name']} array at {first['clock_mhz']:g} MHz, "
        f"memory {first['memory_model']}",
        loc="left",
        fontsize="medium",
    )
    below.set_ylabel("simulated time\nper epoch (s)")
    below.set_ylim(0, 1.08 * longest)
    below.set_xlabel("epoch")
    whole_numbers(below.xaxis)
    add_legend(figure)
    return figure
