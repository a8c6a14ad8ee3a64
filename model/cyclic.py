"""Precision that cycles between two bounds: CPT's schedule, the ten of its follow-up, and two of our own.

A cycle rises along a *profile*: linear, cosine, exponential or REX. *Repeated* schedules rise in every cycle
and fall back at once; *triangular* ones begin high and fall and rise in turns, falling along the profile
turned upside down (vertical) or backwards in time (horizontal); for linear and cosine that is the same.

Sources: CPT (ICLR 2021) Eq. 1; Wolfe and Kyrillidis, "Better schedules for low precision training of deep
neural networks" (Machine Learning, 2024; arXiv 2403.02243); REX: Chen et al., arXiv 2107.04197.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from cpt.model import recorded
from cpt.model.arithmetic import cosine, decay
from cpt.model.schedule import Bounded, Curve, Delayed, Static, bits_pair, hold_ints

EXPONENT = 4.0
"""An exponential profile is within exp(-4) of its bound at the end of a cycle."""
REX = 0.9
"""Of the REX profile, z / (1 - REX + REX z)."""


@dataclass(frozen=True)
class Cyclic(Bounded):
    """Repeats ``cycles`` times; where they do not divide the run, some are a step longer than others."""

    cycles: int

    def __post_init__(self) -> None:
        super().__post_init__()
        hold_ints(self, cycles=self.cycles)
        if not 1 <= self.cycles <= self.total_steps:
            raise ValueError(f"cycles is {self.cycles}; allowed: 1..total_steps ({self.total_steps})")

    def value(self, step: int) -> float:
        index = ((step + 1) * self.cycles - 1) // self.total_steps
        start = index * self.total_steps // self.cycles
        end = (index + 1) * self.total_steps // self.cycles
        return self.shape(index, (step - start) / (end - start))

    def shape(self, index: int, phase: float) -> float:
        """Bits, not rounded, at ``phase`` (0 to 1, excluding 1) of cycle ``index``."""
        raise NotImplementedError


@dataclass(frozen=True)
class UpDown(Cyclic):
    """Straight up in the first half of each cycle, straight down in the second."""

    def shape(self, index: int, phase: float) -> float:
        return self.lo + (self.hi - self.lo) * (1 - abs(2 * phase - 1))


@dataclass(frozen=True)
class CosineAnnealing(Cyclic):
    """Down along half a cosine from ``hi``, then back up at once (warm restarts)."""

    def shape(self, index: int, phase: float) -> float:
        return self.lo + (self.hi - self.lo) * ((1 + cosine(math.pi * phase)) / 2)


@dataclass(frozen=True)
class Profile:
    """How bits rise in a cycle."""

    course: Callable[[float], float]
    """From 0 to 1 (``falls``: from 1 to 0) over phases 0 to 1."""
    falls: bool = False
    """Whether `course` is the distance left to the upper bound, instead of the one from the lower."""

    def up(self, lo: int, hi: int, phase: float) -> float:
        """Rising from ``lo`` to ``hi``."""
        course = (hi - lo) * self.course(phase)
        return hi - course if self.falls else lo + course

    def upside_down(self, lo: int, hi: int, phase: float) -> float:
        """Falling from ``hi`` to ``lo`` as slowly at first as `up` rises."""
        course = (hi - lo) * self.course(phase)
        return lo + course if self.falls else hi - course

    def backwards(self, lo: int, hi: int, phase: float) -> float:
        """Falling from ``hi`` to ``lo`` as `up` rises, last steps first."""
        return self.up(lo, hi, 1 - phase)


def _rex(phase: float) -> float:
    rest = 1 - phase
    return rest / (1 - REX + REX * rest)


PROFILES = {
    "linear": Profile(lambda phase: phase),
    "cosine": Profile(lambda phase: (1 - cosine(math.pi * phase)) / 2),
    "exponential": Profile(lambda phase: decay(EXPONENT * phase), falls=True),
    "rex": Profile(_rex, falls=True),
}


@dataclass(frozen=True)
class Repeated(Cyclic):
    """Up along a profile of `PROFILES` in every cycle, then back to ``lo`` at once.

    With the cosine it is CPT's: ``rint(lo + (hi - lo)/2 * (1 - cos(pi * (t mod T)/T)))``, T = total_steps /
    cycles.
    """

    profile: str = "cosine"

    def shape(self, index: int, phase: float) -> float:
        return PROFILES[self.profile].up(self.lo, self.hi, phase)


@dataclass(frozen=True)
class Alternating(Repeated):
    """Down and up along a profile in turns, beginning at ``hi``; the last step is at ``hi`` in any case.

    ``backwards``: falls are the rises backwards in time; else they are the rises upside down.
    """

    backwards: bool = False

    def shape(self, index: int, phase: float) -> float:
        profile = PROFILES[self.profile]
        if index % 2:
            return profile.up(self.lo, self.hi, phase)
        fall = profile.backwards if self.backwards else profile.upside_down
        return fall(self.lo, self.hi, phase)


SHAPES: dict[str, Callable[[int, int, int, int], Cyclic]] = {
    **{name: partial(Repeated, profile=name) for name in ("cosine", "linear", "exponential", "rex")},
    **{
        f"{name}_triangular": partial(Alternating, profile=name, backwards=False)
        for name in ("cosine", "linear")
    },
    **{
        f"{name}_{flip}": partial(Alternating, profile=name, backwards=flip == "horizontal")
        for name in ("exponential", "rex")
        for flip in ("vertical", "horizontal")
    },
    "up_down": UpDown,
    "cosine_anneal": CosineAnnealing,
}
"""Cyclic schedules by name: (lo, hi, total_steps, cycles) -> curve."""
FOLLOW_UP = {
    "CR": "cosine",
    "LR": "linear",
    "ER": "exponential",
    "RR": "rex",
    "CT": "cosine_triangular",
    "LT": "linear_triangular",
    "ETV": "exponential_vertical",
    "ETH": "exponential_horizontal",
    "RTV": "rex_vertical",
    "RTH": "rex_horizontal",
}
"""The ten schedules of Wolfe and Kyrillidis by the names of their paper."""


def check_shape(shape: str, allowed: Collection[str] = SHAPES.keys()) -> None:
    """Raise `ValueError` in one line unless ``shape`` is one of ``allowed``."""
    if shape not in allowed:
        now = recorded.SHAPES.get(shape)
        hint = f" (which is {now} now)" if now else ""
        raise ValueError(f"shape is {shape!r}{hint}; allowed: {', '.join(allowed)}")


def cyclic(shape: str, bits: int | tuple[int, int], cycles: int, total_steps: int, start: int = 0) -> Curve:
    """``cycles`` cycles of a shape between two bounds from ``start`` on, the lower bound before it.

    Equal bounds, or one width, make it static. Raises `ValueError` naming what does not fit.
    """
    check_shape(shape)
    if start and not 0 < start < total_steps:
        raise ValueError(f"start is {start}; allowed: 0..{total_steps - 1}, below the length of the run")
    lo, hi = bits_pair(bits)
    if lo == hi:
        return Static(hi)
    curve = SHAPES[shape](lo, hi, total_steps - start, cycles)
    return Delayed(lo, start, curve) if start else curve
