"""Once a step: codes and planes of all weights for both products."""

from __future__ import annotations

import math
from collections.abc import Iterable

from cpt.host.compiler import depthwise
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.memory import PAIR
from cpt.host.compiler.moves import Moves
from cpt.host.compiler.plan import ConvPlan
from cpt.host.compiler.vectors import CODE_BITS, ZERO, Rows, Vector, Vectors, number, of_slot
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.floats import Op, SlotConstant
from cpt.model.golden.fabric.codes import WEIGHT_FLOOR

CHUNK = 2304
"""Local words that parameters take at once: twice as many have room, so that the next ones come meanwhile."""
MOST = 2040
"""Elements of an instruction, and repetitions: whole steps of the float engine."""
TOGETHER = 512
"""Elements from which on repetitions that go on from each other need not wait."""


def prepare(layout: Layout, plans: Iterable[ConvPlan], moves: Moves, v: Vectors, *, forward: bool) -> None:
    """Codes and planes of weights: `step.prepare`; for ``forward`` products, else for those of dX.

    Depth-wise layers have the same codes for both.
    """
    for plan in plans:
        if not plan.layer.depthwise:
            rows = _Rows(layout, moves, v, plan, forward=forward)
            for tile in range(layout.groups(rows.count)):
                rows.tile(tile)
        elif forward:
            depthwise.codes_and_planes(layout, moves, v, plan)


class _Rows:
    """A product's rows, whose codes and planes are made a tile at a time, some K steps of it at a time.

    Forward, by output channel: in local memory a row's words touch, channel by channel in each tap. dX, by
    input channel: words of the same place in all rows touch, as they come from memory.
    """

    def __init__(self, layout: Layout, moves: Moves, v: Vectors, plan: ConvPlan, *, forward: bool) -> None:
        self.layout, self.moves, self.v, self.plan, self.forward = layout, moves, v, plan, forward
        conv = plan.conv
        self.taps = conv.kernel**2
        self.count, self.channels = (
            (conv.out_channels, conv.in_channels) if forward else (conv.in_channels, conv.out_channels)
        )
        self.record, self.planes, self.ranges = (
            (plan.codes_of, plan.planes, plan.ranges)
            if forward
            else (plan.error_codes_of, plan.error_planes, plan.error_ranges)
        )
        self.ksteps = layout.ksteps(conv.kernel, layout.groups(self.channels))
        self.step_channels = layout.group * (TAPS // self.taps)
        """Channels of a K step."""
        most = min(CHUNK // (min(layout.group, self.count) * self.taps), MOST // self.taps)
        self.together = max(most // self.step_channels, 1)
        """K steps that local memory holds of a tile."""

    def tile(self, number_: int) -> None:
        """Codes of a tile of rows, K steps by K steps, by the ranges that the update left.

        None is more than the largest code: the highest weight is at most three roundings above it, less than
        a half at any width.
        """
        v, slot, first = self.v, self.plan.slot, number_ * self.layout.group
        rows = min(self.layout.group, self.count - first)
        extremes = v.new(PAIR * rows)
        self.moves.load_runs(self.ranges.words(first, 1), extremes, words=rows, runs=PAIR, stride=self.count)
        low, high = extremes.at(0, rows), extremes.at(rows, rows)
        width = v.multiply(v.subtract(high, low), of_slot(slot, SlotConstant.TOP_SHARE))
        step = v.maximum(width, number(float(WEIGHT_FLOOR)))
        inverse = v.reciprocal(step)
        bits = of_slot(slot, SlotConstant.FRACTION_BITS)
        zero = v.to_fixed(v.multiply(low, inverse), bits, CODE_BITS)
        again = self._again(rows)
        sums, zeros = v.copy(ZERO, count=rows * again), zero
        if again > 1:
            zeros = v.new(rows * again)
            v.rows(Op.COPY, Rows(zeros, 1, rows), Rows(zero, 1, 0), n=rows, reps=again)
        lows, inverses, each = self._each(low), self._each(inverse), self._each(sums)
        for kstep in range(0, self.ksteps, self.together):
            held, length = self._load(first, rows, kstep)
            words, n, reps = self._words(held, rows, length)
            v.rows(Op.QUANTISE, words, words, lows, inverses, n=n, reps=reps, constant=CODE_BITS)
            words, n, reps = self._words(held, rows, length, again)
            v.rows(Op.SUM_MAGNITUDES, each, words, self._each(zeros), each, n=n, reps=reps, constant=slot)
            self._pack(held, number_, rows, kstep, length // self.taps)
        sums = v.folded(Op.INT_ADD, sums, rows)
        for place, vector in enumerate((zero, step, sums)):
            self.moves.store(vector, self.record.words(place * self.count + first, rows))

    def _load(self, first: int, rows: int, kstep: int) -> tuple[Vector, int]:
        """Floats of some K steps of rows, and how many a row has of them."""
        start, channels = kstep * self.step_channels, self._channels(kstep)
        held = self.v.new(rows * self.taps * channels)
        if self.forward:
            at = first * self.taps * self.channels + start
            if channels == self.channels:
                self.moves.load(self.plan.weight.words(at, held.count), held)
                return held, self.taps * channels
            shape = {"words": channels, "runs": rows * self.taps, "stride": self.channels}
        else:
            at = start * self.taps * self.count + first
            shape = {"words": rows, "runs": channels * self.taps, "stride": self.count}
        self.moves.load_runs(self.plan.weight.words(at, 1), held, **shape)
        return held, self.taps * channels

    def _channels(self, kstep: int) -> int:
        """Channels of the K steps that are in local memory from ``kstep`` on."""
        return min(self.together * self.step_channels, self.channels - kstep * self.step_channels)

    def _again(self, rows: int) -> int:
        """How often all rows' numbers stand side by side while they grow, so that none waits for itself."""
        if self.forward:
            return 1
        lengths = [self.taps * self._channels(kstep) for kstep in range(0, self.ksteps, self.together)]
        most = max(TOGETHER // rows, 1)
        return math.gcd(1 << most.bit_length() - 1, *lengths)

    def _words(self, held: Vector, rows: int, length: int, again: int = 1) -> tuple[Rows, int, int]:
        """All words of ``held``, elements of an instruction, repetitions."""
        n, reps = (length, rows) if self.forward else (rows * again, length // again)
        return Rows(held, 1, n), n, reps

    def _each(self, vector: Vector) -> Rows:
        """A number of every row."""
        return Rows(vector, 0, 1) if self.forward else Rows(vector, 1, 0)

    def _pack(self, held: Vector, tile: int, rows: int, kstep: int, channels: int) -> None:
        """Codes of some K steps as planes."""
        taps, forward = self.taps, self.forward
        self.moves.pack(
            held,
            self.planes,
            tile,
            self.plan.slot,
            rows=rows,
            channels=channels,
            kstep=kstep,
            ksteps=min(self.together, self.ksteps - kstep),
            all_ksteps=self.ksteps,
            row_stride=taps * channels if forward else 1,
            tap_stride=(channels if forward else rows) if taps > 1 else 0,
            channel_stride=1 if forward else -taps * rows,
        )
