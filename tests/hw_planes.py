"""Golden order of steps, written from docs/machine.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of the array."""

    plane_a: int
    plane_b: int
    k: int
    first: bool
    """First step of its tile."""
    doubles: bool
    """First step of a lower anti-diagonal."""


def steps_of(bits_a: int, bits_b: int, ksteps: int) -> list[Step]:
    """The steps of a tile in order: anti-diagonals of falling weight, planes of A rising, then along K."""
    steps: list[Step] = []
    for weight in range(bits_a + bits_b - 2, -1, -1):
        pairs = [(i, weight - i) for i in range(bits_a) if 0 <= weight - i < bits_b]
        for position, (i, j) in enumerate(pairs):
            for k in range(ksteps):
                starts = position == 0 and k == 0
                steps.append(Step(i, j, k, starts and not steps, starts and bool(steps)))
    return steps


def flags_of(step: Step, bits_a: int, bits_b: int, signed_a: bool, signed_b: bool) -> dict[str, int]:
    """What the accumulator does with a step."""
    negative_a = signed_a and step.plane_a == bits_a - 1
    negative_b = signed_b and step.plane_b == bits_b - 1
    return {
        "clear": int(step.first),
        "double": int(step.doubles),
        "negative": int(negative_a != negative_b),
        "negative_a": int(negative_a),
        "negative_b": int(negative_b),
    }
