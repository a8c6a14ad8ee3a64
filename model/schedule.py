"""Precision over time: pure functions from step to bits, and the counter that walks along them.

A *curve* gives the bits of one tensor class at step ``t`` of a run of ``total_steps``; a step is an epoch or
an iteration, whichever the caller counts. Every bounded curve ends the run at its highest precision, so that
the last weights are those of the stated width. Bits 0 stand for full precision.

Source: CPT (ICLR 2021) Eq. 1 and Appendix C; docs/numerics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from cpt.model.arithmetic import cosine
from cpt.model.noise import mix

MAX_BITS = 16
FULL_PRECISION = 0
UNITS = ("epoch", "iteration")
"""What a step may stand for."""


class Curve(Protocol):
    """Bits of one tensor class over a run."""

    @property
    def highest(self) -> int:
        """Precision the run ends at, and the default for evaluation; 0 is full precision."""

    def bits(self, step: int) -> int:
        """Bits at ``step``."""


def check_bits(name: str, bits: int, full_precision: bool = False, least: int = 1) -> int:
    """``bits`` as a Python int, whatever kind of integer they are (numpy's too).

    Raises `ValueError` unless they are ``least``..16, or 0 where full precision makes sense.
    """
    allowed = (
        isinstance(bits, Integral)
        and not isinstance(bits, bool)
        and (least <= bits <= MAX_BITS or (full_precision and bits == FULL_PRECISION))
    )
    if not allowed:
        extra = ", or 0 for full precision" if full_precision else ""
        raise ValueError(f"{name} is {bits}; allowed: {least}..{MAX_BITS}{extra}")
    return int(bits)


def bits_pair(bits: int | tuple[int, int]) -> tuple[int, int]:
    """(lowest, highest) of one width or of two."""
    if isinstance(bits, (int, Integral)):
        return int(bits), int(bits)
    lo, hi = bits
    return lo, hi


def hold_ints(record: object, **values: int) -> None:
    """Set fields of a frozen record to Python ints; raises `ValueError` for what is no integer."""
    for name, value in values.items():
        if not isinstance(value, Integral):
            raise ValueError(f"{name} is {value!r}; allowed: an integer")
        object.__setattr__(record, name, int(value))


@dataclass(frozen=True)
class Static:
    """The same bits throughout; 0 is full precision."""

    value: int

    def __post_init__(self) -> None:
        hold_ints(self, value=check_bits("bits", self.value, full_precision=True))

    @property
    def highest(self) -> int:
        return self.value

    def bits(self, step: int) -> int:
        return self.value


@dataclass(frozen=True)
class _Bounded:
    """Between two bounds over a run of known length."""

    lo: int
    hi: int
    total_steps: int

    def __post_init__(self) -> None:
        hold_ints(self, lo=check_bits("lo", self.lo), hi=check_bits("hi", self.hi))
        hold_ints(self, total_steps=self.total_steps)
        if self.lo > self.hi:
            raise ValueError(f"lo is {self.lo}; allowed: at most hi ({self.hi})")
        if self.total_steps < 1:
            raise ValueError(f"total_steps is {self.total_steps}; allowed: at least 1")

    @property
    def highest(self) -> int:
        return self.hi

    def bits(self, step: int) -> int:
        """Bits at ``step``; the last step of the run is at the upper bound."""
        if step < 0:
            raise ValueError(f"step is {step}; allowed: at least 0")
        if step >= self.total_steps - 1:
            return self.hi
        return round(self.lo + (self.hi - self.lo) * self.height(step))

    def height(self, step: int) -> float:
        """Where between the bounds ``step`` is: 0 at ``lo``, 1 at ``hi``."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Cyclic(_Bounded):
    """Repeats ``cycles`` times; where they do not divide the run, some are a step longer than others."""

    cycles: int

    def __post_init__(self) -> None:
        super().__post_init__()
        hold_ints(self, cycles=self.cycles)
        if not 1 <= self.cycles <= self.total_steps:
            raise ValueError(f"cycles is {self.cycles}; allowed: 1..total_steps ({self.total_steps})")

    def height(self, step: int) -> float:
        index = ((step + 1) * self.cycles - 1) // self.total_steps
        start = index * self.total_steps // self.cycles
        end = (index + 1) * self.total_steps // self.cycles
        return self.shape((step - start) / (end - start))

    def shape(self, phase: float) -> float:
        """Height at ``phase`` (0 to 1, excluding 1) of a cycle."""
        raise NotImplementedError


@dataclass(frozen=True)
class CyclicCosine(_Cyclic):
    """CPT's schedule: up along half a cosine, then back to ``lo`` at once.

    ``rint(lo + (hi - lo)/2 * (1 - cos(pi * (t mod T)/T)))``, T = total_steps / cycles.
    """

    def shape(self, phase: float) -> float:
        return (1 - cosine(math.pi * phase)) / 2


@dataclass(frozen=True)
class Triangular(_Cyclic):
    """Straight up in the first half of each cycle, straight down in the second."""

    def shape(self, phase: float) -> float:
        return 1 - abs(2 * phase - 1)


@dataclass(frozen=True)
class CosineAnnealing(_Cyclic):
    """Down along half a cosine from ``hi``, then back up at once (warm restarts)."""

    def shape(self, phase: float) -> float:
        return (1 + cosine(math.pi * phase)) / 2


@dataclass(frozen=True)
class Progressive(_Bounded):
    """Straight up once, from ``lo`` at the first step to ``hi`` at the last."""

    def height(self, step: int) -> float:
        return step / max(1, self.total_steps - 1)


@dataclass(frozen=True)
class Stages:
    """Equal stages, each at its own bits, in the order given."""

    stages: tuple[int, ...]
    total_steps: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= self.total_steps:
            raise ValueError(f"stages are {len(self.stages)}; allowed: 1..total_steps ({self.total_steps})")
        object.__setattr__(self, "stages", tuple(check_bits("stage", bits) for bits in self.stages))
        hold_ints(self, total_steps=self.total_steps)

    @property
    def highest(self) -> int:
        return self.stages[-1]

    def bits(self, step: int) -> int:
        return self.stages[min(step * len(self.stages) // self.total_steps, len(self.stages) - 1)]


@dataclass(frozen=True)
class Delayed:
    """``before`` bits until ``start``, then ``curve`` from its beginning (CPT Table 7)."""

    before: int
    start: int
    curve: Curve

    def __post_init__(self) -> None:
        hold_ints(self, before=check_bits("before", self.before, full_precision=True), start=self.start)
        if self.start < 0:
            raise ValueError(f"start is {self.start}; allowed: at least 0")

    @property
    def highest(self) -> int:
        return self.curve.highest

    def bits(self, step: int) -> int:
        return self.before if step < self.start else self.curve.bits(step - self.start)


SHAPES = {"cosine": CyclicCosine, "triangular": Triangular, "cosine_anneal": CosineAnnealing}


def cyclic(shape: str, bits: int | tuple[int, int], cycles: int, total_steps: int, start: int = 0) -> Curve:
    """``cycles`` cycles of a shape between two bounds from ``start`` on, the lower bound before it.

    Equal bounds, or one width, make it static. Raises `ValueError` naming what does not fit.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape is {shape!r}; allowed: {', '.join(SHAPES)}")
    if start and not 0 < start < total_steps:
        raise ValueError(f"start is {start}; allowed: 0..{total_steps - 1}, below the length of the run")
    lo, hi = bits_pair(bits)
    if lo == hi:
        return Static(hi)
    curve = SHAPES[shape](lo, hi, total_steps - start, cycles)
    return Delayed(lo, start, curve) if start else curve


@dataclass(frozen=True)
class RandomEvery(_Bounded):
    """A new random width every ``every`` steps, all equally likely (LDP Table 2); a function of ``seed``."""

    every: int
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        hold_ints(self, every=self.every, seed=self.seed)
        if self.every < 1:
            raise ValueError(f"every is {self.every}; allowed: at least 1")

    def bits(self, step: int) -> int:
        if step >= self.total_steps - 1:
            return self.hi
        draw = mix(mix(self.seed) + step // self.every + 1)
        return self.lo + draw * (self.hi - self.lo + 1) // 2**32


@dataclass(frozen=True)
class Plan:
    """Bits of both tensor classes: ``fw`` for weights and activations, ``bw`` for gradients."""

    fw: Curve
    bw: Curve

    def bits(self, step: int) -> tuple[int, int]:
        """(fw, bw) at ``step``."""
        return self.fw.bits(step), self.bw.bits(step)

    @property
    def evaluation_bits(self) -> int:
        """Forward precision to evaluate at unless told otherwise: the upper bound."""
        return self.fw.highest


class Stepper:
    """Counts steps along a plan, like a torch learning-rate scheduler; starts at step 0."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.last_step = 0

    def step(self) -> tuple[int, int]:
        """Advance by one and give the new (fw, bw)."""
        self.last_step += 1
        return self.get_last_bits()

    def get_last_bits(self) -> tuple[int, int]:
        """(fw, bw) of the current step."""
        return self.plan.bits(self.last_step)

    def state_dict(self) -> dict[str, Any]:
        """All there is to save."""
        return {"last_step": self.last_step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position; raises `ValueError` if it is none."""
        step = state.get("last_step")
        if not isinstance(step, Integral) or step < 0:
            raise ValueError(f"last_step is {step!r}; allowed: a step number, at least 0")
        self.last_step = int(step)
