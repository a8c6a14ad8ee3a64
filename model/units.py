"""How figures are written: one unit and one format for each, wherever it is printed or drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What a network reaches on test data. Values as trainers keep them times ``factor`` are in ``unit``."""

    name: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 3
    difference_unit: str = ""
    more_is_better: bool = True

    @property
    def label(self) -> str:
        """Heading with unit, as of a column or an axis."""
        return f"test {self.name}" + (f" ({self.unit})" if self.unit else "")

    def text(self, value: float) -> str:
        """``98.05 %``."""
        return f"{self.factor * value:.{self.digits}f} {self.unit}".rstrip()

    def difference(self, value: float) -> str:
        """``-0.28 points``."""
        return f"{self.factor * value:+.{self.digits}f} {self.difference_unit}".rstrip()


METRICS = {
    "accuracy": Metric("accuracy", "%", 100.0, 2, "points"),
    "perplexity": Metric("perplexity", more_is_better=False),
    "psnr_db": Metric("PSNR", "dB", difference_unit="dB"),
}
"""By the name that summaries and metrics files have."""


def metric(name: str) -> Metric:
    """The metric called ``name``; an unknown one has no unit."""
    return METRICS.get(name, Metric(name))


def accuracy(share: float) -> str:
    """``98.05 %``."""
    return METRICS["accuracy"].text(share)


def percent(share: float) -> str:
    """A share or saving: ``41.1 %``."""
    return f"{100 * share:.1f} %"


def change(share: float) -> str:
    """A relative difference with its sign: ``-41.1 %``."""
    # plus zero: what rounds to nothing has no minus sign
    return f"{round(100 * share, 1) + 0.0:+.1f} %"


def gbitops(value: float) -> str:
    """1e9 bit operations: ``168,874,213``; three digits where there are fewer before the point."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds, or hours from one hour on: ``1.958 s``, ``30.02 h``."""
    return f"{seconds / 3600:,.2f} h" if seconds >= 3600 else f"{seconds:.3f} s"


def bits(bounds: int | Sequence[int]) -> str:
    """``8``, or ``(3,8)`` where precision moves between two bounds."""
    low, high = (bounds, bounds) if isinstance(bounds, int) else (bounds[0], bounds[-1])
    return f"({low},{high})" if low < high else str(high)


def precision(fw: int | Sequence[int], bw: int | Sequence[int]) -> str:
    """``FW(3,8)/BW8``."""
    return f"FW{bits(fw)}/BW{bits(bw)}"
