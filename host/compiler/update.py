"""Once a step: momentum update of all parameters, then codes and planes of all weights for both products."""

from __future__ import annotations

import math
from collections.abc import Iterable

from cpt.host.compiler import depthwise
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.moves import Moves
from cpt.host.compiler.plan import ConvPlan
from cpt.host.compiler.vectors import ZERO, Rows, Vector, Vectors, number, of_slot
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.floats import Op, SlotConstant
from cpt.model.golden.fabric.codes import WEIGHT_FLOOR

CHUNK = 2304
"""Local words that parameters take at once: twice as many have room, so that the next ones come meanwhile."""
UPDATED = 510
"""Parameters that are updated at once."""
MOST = 2040
"""Elements of an instruction, and repetitions: whole steps of the float engine."""
TOGETHER = 512
"""Elements from which on repetitions that go on from each other need not wait."""
FLOAT_BITS = 26
"""Width that codes are cut at: none is wider."""


def update(layout: Layout, moves: Moves, v: Vectors, momentum: float, decay: float) -> None:
    """``v = momentum*v + (G + decay*w)``, ``w -= rate*v``: `update.momentum_update`.

    The learning rate is the first of the host's numbers. From the end on, as gradients become whole.
    """
    rate = moves.load(layout.numbers.words(0, 1))
    size = UPDATED
    for start in reversed(range(0, layout.parameter_words, size)):
        count = min(size, layout.parameter_words - start)
        arrays = (layout.parameters, layout.velocities, layout.gradients)
        places = [moves.load(array.words(start, count)) for array in arrays]
        weight, velocity, gradient = places
        v.multiply_add(weight, number(decay), gradient, to=gradient)
        v.multiply_add(velocity, number(momentum), gradient, to=velocity)
        v.multiply(velocity, rate, to=gradient)
        v.subtract(weight, gradient, to=weight)
        for array, place in zip(arrays[:2], places, strict=False):
            moves.store(place, array.words(start, count))


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
    """Codes and planes of a product's rows, a tile of them at a time, some K steps of it at a time.

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
        self.record, self.planes = (
            (plan.codes_of, plan.planes) if forward else (plan.error_codes_of, plan.error_planes)
        )
        self.ksteps = layout.ksteps(conv.kernel, layout.groups(self.channels))
        self.step_channels = layout.group * (TAPS // self.taps)
        """Channels of a K step."""
        most = min(CHUNK // (min(layout.group, self.count) * self.taps), MOST // self.taps)
        self.together = max(most // self.step_channels, 1)
        """K steps that local memory holds of a tile."""

    def tile(self, tile: int) -> None:
        """Ranges of all words of a tile's rows first, then codes, K steps by K steps.

        None is more than the largest code: the highest weight is at most three roundings above it, less than
        a half at any width.
        """
        v, slot, first = self.v, self.plan.slot, tile * self.layout.group
        rows = min(self.layout.group, self.count - first)
        steps = range(0, self.ksteps, self.together)
        again = self._again(rows)
        lows, highs = (v.copy(ZERO, count=rows * again) for _ in range(2))
        for kstep in steps:
            held, length = self._load(first, rows, kstep)
            words, n, reps = self._words(held, rows, length, again)
            for op, extremes in ((Op.MINIMUM, lows), (Op.MAXIMUM, highs)):
                v.rows(op, self._each(extremes), self._each(extremes), words, n=n, reps=reps)
        low, high = self._folded(Op.MINIMUM, lows, rows), self._folded(Op.MAXIMUM, highs, rows)
        width = v.multiply(v.subtract(high, low), of_slot(slot, SlotConstant.TOP_SHARE))
        step = v.maximum(width, number(float(WEIGHT_FLOOR)))
        inverse = v.reciprocal(step)
        bits = of_slot(slot, SlotConstant.FRACTION_BITS)
        zero = v.to_fixed(v.multiply(low, inverse), bits, FLOAT_BITS)
        sums, zeros = v.copy(ZERO, count=rows * again), zero
        if again > 1:
            zeros = v.new(rows * again)
            v.rows(Op.COPY, Rows(zeros, 1, rows), Rows(zero, 1, 0), n=rows, reps=again)
        for kstep in steps:
            if len(steps) > 1:
                held, length = self._load(first, rows, kstep)
            words, n, reps = self._words(held, rows, length)
            v.rows(Op.SUBTRACT, words, words, self._each(low), n=n, reps=reps)
            v.rows(Op.MULTIPLY, words, words, self._each(inverse), n=n, reps=reps)
            v.rows(Op.TO_FIXED, words, words, Rows(v.copy(ZERO)), n=n, reps=reps, constant=FLOAT_BITS)
            each = self._each(sums)
            words, n, reps = self._words(held, rows, length, again)
            v.rows(Op.SUM_MAGNITUDES, each, words, self._each(zeros), each, n=n, reps=reps, constant=slot)
            self._pack(held, tile, rows, kstep, length // self.taps)
        sums = self._folded(Op.INT_ADD, sums, rows)
        for number_, vector in enumerate((zero, step, sums)):
            self.moves.store(vector, self.record.words(number_ * self.count + first, rows))

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

    def _folded(self, op: Op, numbers: Vector, rows: int) -> Vector:
        """A number of every row from those that stand side by side."""
        while numbers.count > rows:
            half = numbers.count // 2
            numbers = self.v.emit(op, numbers.at(0, half), numbers.at(half, half), to=numbers.at(0, half))
        return numbers

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
