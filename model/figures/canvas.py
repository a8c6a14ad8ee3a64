"""What all figures share: size, colours, axes of whole bits, writing to a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from cpt.model.files import write_atomically

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Distinguishable without colour vision (Okabe and Ito, 2008)."""
_MARKERS, _LINES = ("o", "s", "^", "D"), ("-", "--", ":", "-.")
_ROW_INCHES = 0.22
"""Of a legend."""
WIDTH_INCHES, HEIGHT_INCHES, DPI = 6.4, 3.8, 150


def new_figure(panels: int = 1, height_inches: float = HEIGHT_INCHES) -> tuple[Figure, list[Axes]]:
    """A figure and its panels, one above the other with a common x axis."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    found = figure.subplots(panels, 1, sharex=True, squeeze=False)
    panes = [axes for (axes,) in found]
    for axes in panes:
        axes.grid(True, color="0.9", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panes


def colour(index: int) -> str:
    """Colour of the ``index``-th series."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Marker of the ``index``-th series: another one every time the colours begin anew."""
    return _MARKERS[index // len(COLOURS) % len(_MARKERS)]


def line(index: int) -> Any:
    """Line style of the ``index``-th series, as `marker`."""
    return _LINES[index // len(COLOURS) % len(_LINES)]


def add_legend(figure: Figure) -> None:
    """A legend below the panels, which keep their height."""
    legend = figure.legend(loc="outside lower center", ncols=2, frameon=False)
    rows = -(-len(legend.legend_handles) // 2)
    figure.set_figheight(figure.get_figheight() + _ROW_INCHES * max(0, rows - 2))


def whole_numbers(axis: Any) -> None:
    """Ticks of an x or y axis at integers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def bits_axis(axes: Axes, bits: Sequence[float]) -> None:
    """A y axis of whole bits with room around ``bits``."""
    axes.set_ylabel("precision (bits)")
    low, high = min(bits) - 0.5, max(bits) + 0.5
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MultipleLocator(1 if high - low < 10 else 2))


def draw_bits(axes: Axes, bits: Sequence[float], **style: Any) -> None:
    """Bits of consecutive epochs or iterations as steps: position ``i`` lasts from ``i`` to ``i + 1``."""
    axes.stairs(bits, range(len(bits) + 1), baseline=None, **{"linewidth": 1.5, **style})


def save(figure: Figure, path: Path) -> Path:
    """Write the figure; the suffix is the format. Equal figures give equal files.

    Raises `ValueError` for an unknown suffix and `OSError` if the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ValueError(f"figure is {str(path)!r}; allowed: a name that ends in .{', .'.join(FORMATS)}")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "cpt"}):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    write_atomically(path, buffer.getvalue())
    return path
