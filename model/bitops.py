"""Bit operations: what a training step and a whole run cost at given precisions (docs/numerics.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from cpt.model.architecture.layers import Layer, Norm
from cpt.model.schedule import Plan

PAPER_ITERATIONS = 64_000
PAPER_BATCH = 128
PAPER_SAMPLES = PAPER_ITERATIONS * PAPER_BATCH
"""Training samples behind every absolute number of CPT's Tables 2 and 3."""
FULL_PRECISION_BITS = 32
"""Bits that a full-precision tensor counts as."""


@dataclass(frozen=True)
class PassBitops:
    """Bit operations of the three passes."""

    forward: float
    dx: float
    dw: float

    @property
    def total(self) -> float:
        """All three."""
        return self.forward + self.dx + self.dw

    def __add__(self, other: PassBitops) -> PassBitops:
        return PassBitops(self.forward + other.forward, self.dx + other.dx, self.dw + other.dw)


def pass_bitops(macs: int, fw: int, bw: int, samples: int = 1) -> PassBitops:
    """Forward ``macs*fw*fw``, dX and dW ``macs*fw*bw`` each, times ``samples``; bits 0 count as 32."""
    fw, bw = (bits or FULL_PRECISION_BITS for bits in (fw, bw))
    return PassBitops(*(float(macs * product * samples) for product in (fw * fw, fw * bw, fw * bw)))


def counted_macs(layers: Iterable[Layer]) -> int:
    """The papers' count per sample: MACs of convolutions and fully connected layers + 2 * norm elements."""
    return sum(2 * layer.elements if isinstance(layer, Norm) else layer.macs for layer in layers)


def plan_bitops(plan: Plan, steps: int) -> PassBitops:
    """Bit operations of one multiply-accumulate at each of the first ``steps`` steps of the plan."""
    counts = Counter(plan.bits(step) for step in range(steps))
    return sum((pass_bitops(1, *bits, count) for bits, count in counts.items()), PassBitops(0, 0, 0))


def mean_cost(plan: Plan, steps: int) -> float:
    """Mean of ``fw*fw + 2*fw*bw`` over the first ``steps`` steps of the plan."""
    return plan_bitops(plan, steps).total / steps


def run_bitops(layers: Iterable[Layer], plan: Plan, steps: int, samples: int = PAPER_SAMPLES) -> PassBitops:
    """Of a run: ``samples`` training samples spread evenly over the plan's ``steps``."""
    each, count = plan_bitops(plan, steps), counted_macs(layers) * samples / steps
    return PassBitops(each.forward * count, each.dx * count, each.dw * count)


def run_gbitops(layers: Iterable[Layer], plan: Plan, steps: int, samples: int = PAPER_SAMPLES) -> float:
    """1e9 bit operations of all passes of `run_bitops`."""
    return run_bitops(layers, plan, steps, samples).total / 1e9


def saving(plan: Plan, static: Plan, steps: int) -> float:
    """Share of the static run's bit operations that the scheduled run saves."""
    return 1 - mean_cost(plan, steps) / mean_cost(static, 1)
