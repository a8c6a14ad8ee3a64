"""Precision over time: pure functions from step to bits, and the counter that walks along them.

A *curve* gives the bits of one tensor class at step ``t`` of a run of ``total_steps``; a step is an epoch or
an iteration, whichever the caller counts. Every bounded curve ends the run at its highest precision, so that
the last weights are those of the stated width. Bits 0 stand for full precision.

Source: CPT (ICLR 2021) Appendix C; docs/numerics.md. Those that cycle: `cpt.model.cyclic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

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
class Bounded:
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
        return round(self.value(step))

    def value(self, step: int) -> float:
        """Bits at ``step``, not rounded."""
        raise NotImplementedError


@dataclass(frozen=True)
class Progressive(Bounded):
    """Straight up once, from ``lo`` at the first step to ``hi`` at the last."""

    def value(self, step: int) -> float:
        return self.lo + (self.hi - self.lo) * (step / max(1, self.total_steps - 1))


@dataclass(frozen=True)
class Window(Bounded):
    """``lo`` in ``length`` steps from ``first`` on, ``hi`` before and after (critical periods)."""

    first: int
    length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        hold_ints(self, first=self.first, length=self.length)
        if self.first < 0 or self.length < 0 or self.first + self.length > self.total_steps:
            window = f"{self.length} from {self.first}"
            raise ValueError(f"window is {window}; allowed: inside of total_steps ({self.total_steps})")

    def value(self, step: int) -> float:
        return self.lo if self.first <= step < self.first + self.length else self.hi


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


@dataclass(frozen=True)
class RandomEvery(Bounded):
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
class Reordered:
    """The bits of ``curve`` at ``total_steps`` steps in another order: backwards, or shuffled by ``seed``.

    As many steps at each precision as the curve has, and its last step last: a control that tells what the
    order does.
    """

    curve: Curve
    total_steps: int
    seed: int | None = None
    """None: backwards."""

    def __post_init__(self) -> None:
        hold_ints(self, total_steps=self.total_steps)
        order = list(range(self.total_steps - 2, -1, -1))
        if self.seed is not None:
            hold_ints(self, seed=self.seed)
            key = mix(self.seed)
            order.sort(key=lambda step: mix(key + step + 1))
        object.__setattr__(self, "_order", order)

    @property
    def highest(self) -> int:
        return self.curve.highest

    def bits(self, step: int) -> int:
        order: list[int] = vars(self)["_order"]
        return self.curve.bits(order[step] if step < len(order) else step)


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
