"""What passes of layers do on the array, against what array and memory could do.

An operation is a multiplication or an addition of two numbers, whatever their bits: two make a
multiply-accumulate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.codes import image_bits
from cpt.sim.memory import MemoryModel
from cpt.sim.step.by_layer import ALL, ARRAY, CONTROL, D_W, D_X, Part

OPERATIONS = 2
"""Of a multiply-accumulate."""
OF_A_DSP = 2
"""Multiplications of 8 x 8 bits that a DSP48E1 is assumed to do in a cycle, where they share an operand."""
FULL = 0.9
"""Share of the array's products that is not worth a word."""


def operand_bits(which: str, fw: int, bw: int, *, first: bool) -> tuple[int, int]:
    """Bits of both operands of a pass; ``first``: of the layer that takes images."""
    inputs = image_bits(fw) if first else fw
    return {D_X: (fw, bw), D_W: (bw, inputs)}.get(which, (fw, inputs))


def array_gops(config: ArrayConfig, bits: tuple[int, int]) -> float:
    """1e9 operations a second of an array that never waits: a cycle for each pair of planes."""
    return OPERATIONS * config.binary_macs * config.clock_mhz / 1e3 / (bits[0] * bits[1])


def dsp_gops(dsps: int, clock_mhz: float) -> float:
    """1e9 operations a second of DSPs that never wait, at up to 8 bits: `OF_A_DSP` multiplications each."""
    return OPERATIONS * OF_A_DSP * dsps * clock_mhz / 1e3


def memory_bytes(model: MemoryModel) -> float:
    """Of memory, a cycle, through all ports together."""
    return BEAT_BYTES * model.slots_num / model.slots_den


@dataclass(frozen=True)
class Roof:
    """What bounds a pass, in 1e9 operations, and bytes, a second."""

    array_gops: float
    memory_gbytes: float

    def gops(self, intensity: float) -> float:
        """At ``intensity`` operations per byte."""
        return min(self.array_gops, self.memory_gbytes * intensity)

    @property
    def ridge(self) -> float:
        """Operations per byte from which on the array is what bounds."""
        return self.array_gops / self.memory_gbytes


@dataclass(frozen=True)
class Point:
    """A pass of a layer in a whole step, all its micro-batches together."""

    layer: str
    which: str
    bits: tuple[int, int]
    """Of both operands."""
    operations: int
    bytes: int
    cycles: int
    """By which the step ends later for it: all add up to the step."""
    spent: int
    """Those, or the cycles in which its array or its memory works, if they are more: what overlaps with the
    pass before it is not in ``cycles``."""
    busy: Mapping[str, int]
    """Cycles in which each works."""
    bound: str
    """What is busy half of ``cycles`` or more."""
    roof: Roof
    clock_mhz: float

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / max(self.bytes, 1)

    @property
    def gops(self) -> float:
        """1e9 operations a second."""
        return self.operations * self.clock_mhz / 1e3 / max(self.spent, 1)

    @property
    def array_works(self) -> float:
        """Share of its cycles in which the array does products, its own or those between zeros."""
        return self.busy.get(ARRAY, 0) / max(self.spent, 1)

    @property
    def of_peak(self) -> float:
        """Share of what the array could do at these bits."""
        return self.gops / self.roof.array_gops

    @property
    def of_roof(self) -> float:
        """Share of what array and memory let it do."""
        return self.gops / self.roof.gops(self.intensity) if self.operations else 0.0

    @property
    def filled(self) -> float:
        """Share of the array's products, in the cycles in which it works, that are the layer's own."""
        peak_cycles = self.operations * self.clock_mhz / 1e3 / self.roof.array_gops
        return peak_cycles / self.busy[ARRAY] if self.busy.get(ARRAY) else 0.0

    @property
    def reason(self) -> str:
        """Why it is not at its roof, in words: what works in most of its cycles, and how much in vain."""
        shares = {name: min(1.0, cycles / max(self.spent, 1)) for name, cycles in self.busy.items()}
        most = ", ".join(f"{name} {share:.0%}" for name, share in Counter(shares).most_common(2))
        if self.bound == CONTROL:
            return f"engines wait for each other: {most}"
        if self.bound == ARRAY and self.filled < FULL:
            return f"{most}; {self.filled:.0%} of the array's products are the layer's"
        return most


def points(
    config: ArrayConfig,
    model: MemoryModel,
    parts: Iterable[Part],
    convolutions: Sequence[Conv],
    images: int,
    bits: tuple[int, int],
) -> list[Point]:
    """A point for each of ``parts`` of a step of ``images``, at ``bits`` of weights and of gradients.

    What is of no layer does no operation.
    """
    of_layer, rate = {conv.name: conv for conv in convolutions}, memory_bytes(model)
    found = []
    for part in parts:
        first = part.layer == convolutions[0].name
        operands = operand_bits(part.which, *bits, first=first)
        macs = 0 if part.which == ALL else of_layer[part.layer].macs * images
        found.append(
            Point(
                part.layer,
                part.which,
                operands,
                OPERATIONS * macs,
                part.bytes,
                part.cycles,
                max(part.cycles, part.busy[ARRAY], math.ceil(part.bytes / rate)),
                dict(part.busy),
                part.bound,
                Roof(array_gops(config, operands), rate * config.clock_mhz / 1e3),
                config.clock_mhz,
            )
        )
    return found


def mean(found: Sequence[Point], share: Callable[[Point], float]) -> float:
    """Of a share, each point weighted by the cycles it takes."""
    spent = sum(point.spent for point in found)
    return sum(share(point) * point.spent for point in found) / spent if spent else 0.0
