"""Differences of runs that share a seed, and how far their mean can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"


def interval(gains: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of paired differences and the ends of its 95 % interval (Student's t); None for under 2 pairs."""
    if len(gains) < 2:
        return None
    from scipy.stats import t

    mean = statistics.mean(gains)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(gains) - 1))
    half *= statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, mean - half, mean + half


def outcome(gain: tuple[float, float, float], *, more_is_better: bool) -> str:
    """``better``, ``worse`` or, where the interval of `interval` holds 0, ``no difference shown``."""
    mean, low, high = gain
    if low <= 0 <= high:
        return NO_DIFFERENCE
    return BETTER if (mean > 0) == more_is_better else WORSE
