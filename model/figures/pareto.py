"""What runs reach against what they cost, as shares of a run that all are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cpt.model.figures.canvas import add_legend, colour, marker, new_figure
from cpt.model.units import Metric

_PANEL_INCHES = 3.4
_ROOM = 0.1
"""Share of the y axis beside the intervals."""
_APART = 1.2
"""Percent of the x axis between marks that would lie on each other."""


@dataclass(frozen=True)
class Group:
    """Runs that belong together: joined by a line, or each with a name of its own in the legend."""

    label: str
    points: Mapping[str, tuple[float, float, float]]
    """Difference and the ends of its interval, by name; as the metric's values are kept."""
    costs: Sequence[Mapping[str, float]]
    """Share of the cost, by name, for each panel."""
    joined: bool = False
    cut: bool = False
    """Parts that are far from all other groups are left out of the picture."""


def draw_pareto(groups: Sequence[Group], costs: Sequence[str], shown: Metric, title: str) -> Figure:
    """A panel for each of ``costs``, one above the other; whiskers are the intervals.

    Marks of nearly the same cost stand side by side.
    """
    figure, panes = new_figure(len(costs), _PANEL_INCHES * len(costs))
    unit = f" ({shown.difference_unit})" if shown.difference_unit else ""
    better = "higher" if shown.more_is_better else "lower"
    for number, (axes, cost) in enumerate(zip(panes, costs, strict=True)):
        axes.axhline(0, color="0.5", linewidth=1)
        series = 0
        taken: list[float] = []
        for group in groups:
            if group.joined:
                _joined(axes, group, number, series, shown)
                series += 1
            else:
                series = _apart(axes, group, number, series, shown, taken)
        axes.set_ylim(*_limits(groups, shown))
        axes.set(xlabel=cost, ylabel=f"{shown.name}, difference{unit};\n{better} is better")
        axes.xaxis.set_major_formatter(PercentFormatter())
        axes.xaxis.set_tick_params(labelbottom=True)
    panes[0].set_title(title, loc="left", fontsize="medium")
    add_legend(figure)
    return figure


def _limits(groups: Sequence[Group], shown: Metric) -> tuple[float, float]:
    """Ends of the y axis, with room around all intervals that are not to be cut."""
    ends = [end for group in groups if not group.cut for point in group.points.values() for end in point]
    low, high = (shown.factor * end for end in (min(ends, default=0.0), max(ends, default=0.0)))
    room = _ROOM * (high - low) or 1.0
    return min(low, 0.0) - room, max(high, 0.0) + room


def _joined(axes: Axes, group: Group, number: int, series: int, shown: Metric) -> None:
    """A line through all points of the group, with a band between the ends of their intervals."""
    cost = group.costs[number]
    names = sorted((name for name in group.points if name in cost), key=lambda name: cost[name])
    if not names:
        return
    x = [100 * cost[name] for name in names]
    mean, low, high = ([shown.factor * group.points[name][part] for name in names] for part in range(3))
    label, dashes = None if number else group.label, "--" if series else "-"
    axes.plot(x, mean, color=colour(series), linestyle=dashes, marker=".", label=label)
    axes.fill_between(x, low, high, color=colour(series), alpha=0.15, linewidth=0)


def _apart(axes: Axes, group: Group, number: int, series: int, shown: Metric, taken: list[float]) -> int:
    """A mark with whiskers for each point; ``taken``: places of those before."""
    for name, ends in group.points.items():
        if name in group.costs[number]:
            mean, low, high = (shown.factor * end for end in ends)
            axes.errorbar(
                [_free(100 * group.costs[number][name], taken)],
                [mean],
                yerr=[[mean - low], [high - mean]],
                color=colour(series),
                marker=marker(series),
                markersize=5,
                capsize=2,
                linewidth=1,
                linestyle="none",
                label=None if number else name,
            )
        series += 1
    return series


def _free(x: float, taken: list[float]) -> float:
    """The place nearest to ``x`` that is not taken, and takes it."""
    steps = sorted(range(-len(taken), len(taken) + 1), key=lambda step: (abs(step), step))
    places = (x + step * _APART for step in steps)
    found = next(place for place in places if all(abs(place - other) >= _APART * 0.99 for other in taken))
    taken.append(found)
    return found
