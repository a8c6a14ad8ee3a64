"""Once a step: the momentum update of all parameters, and between what the weights of rows then lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cpt.host.compiler.layout import Layout
from cpt.host.compiler.memory import PAIR, Piece
from cpt.host.compiler.moves import Moves
from cpt.host.compiler.plan import ConvPlan
from cpt.host.compiler.vectors import ZERO, Rows, Vector, Vectors, number
from cpt.hw.contract.floats import Op

UPDATED = 576
"""Parameters that are updated at once."""
RANGED = 64
"""Rows whose ranges local memory holds at once, about."""


def update(layout: Layout, moves: Moves, v: Vectors, momentum: float, decay: float) -> None:
    """``v = momentum*v + (G + decay*w)``, ``w -= rate*v``: `update.momentum_update`; then ranges of weights.

    The learning rate is the first of the host's numbers. From the end on, as gradients become whole.
    """
    arrays = (layout.parameters, layout.velocities, layout.gradients)
    lanes = layout.config.float_lanes
    downhill = v.subtract(ZERO, moves.load(layout.numbers.words(0, 1)))
    for some in _all(layout, moves, v):
        size = -(-some.count // lanes) * lanes
        held = v.new(len(arrays) * size)
        places = [held.at(place * size, some.count) for place in range(len(arrays))]
        for array, place in zip(arrays, places, strict=True):
            moves.load(array.words(some.start, some.count), place)
        weight, velocity, gradient = places
        v.multiply_add(weight, number(decay), gradient, to=gradient)
        v.multiply_add(velocity, number(momentum), gradient, to=velocity)
        v.multiply_add(velocity, downhill, weight, to=weight)
        for array, place in zip(arrays[:2], places, strict=False):
            moves.store(place, array.words(some.start, some.count))
        if some.part:
            some.part.of.take(some.part, weight)


@dataclass(frozen=True)
class _Some:
    """Parameters that are updated at once: from word ``start`` on; weights of which convolution."""

    start: int
    count: int
    part: _Part | None = None


@dataclass(frozen=True)
class _Part:
    """Of a convolution's weights ``rows`` rows from ``first`` on, of each ``length`` words from ``at`` on."""

    of: _Ranges
    first: int
    rows: int
    at: int
    length: int


def _all(layout: Layout, moves: Moves, v: Vectors) -> Iterator[_Some]:
    """All parameters, from the end on."""

    def between(start: int, stop: int) -> Iterator[_Some]:
        for first in reversed(range(start, stop, UPDATED)):
            yield _Some(first, min(UPDATED, stop - first))

    end = layout.parameter_words
    for plan in sorted(layout.plans, key=lambda plan: -plan.weight.offset):
        if not plan.layer.depthwise:
            ranges, start = _Ranges(moves, v, plan), (plan.weight.offset - layout.parameters.offset) // 4
            yield from between(start + plan.weight.size // 4, end)
            for part in ranges.parts():
                yield _Some(start + part.first * ranges.row + part.at, part.rows * part.length, part)
            end = start
    yield from between(0, end)


class _Ranges:
    """The lowest and the highest weight of each product's rows, from parts of them in order.

    Forward a row is an output channel. dX's are input channels: words that touch, so lowest and highest words
    of all parts are found side by side, then those of a channel.
    """

    def __init__(self, moves: Moves, v: Vectors, plan: ConvPlan) -> None:
        self.moves, self.v, self.plan = moves, v, plan
        self.count, self.inner = plan.conv.out_channels, plan.conv.in_channels
        self.row = self.inner * plan.conv.kernel**2
        self.rows, self.size = max(UPDATED // self.row, 1), self.row
        """Rows of a part, and words of each: all, or whole taps, or some of one."""
        if self.row % PAIR:  # an image's channels
            self.rows = max(self.rows - self.rows % PAIR, PAIR)
        elif self.row > UPDATED:
            self.size = UPDATED // min(self.inner, UPDATED) * min(self.inner, UPDATED)
        self.together = max(RANGED // (PAIR * self.rows), 1) * PAIR * self.rows
        self._of_rows: list[tuple[Op, Vector]] = []
        self._of_columns: list[tuple[Op, Vector]] = []

    def parts(self) -> Iterator[_Part]:
        """All, none beyond the end of a tap that it begins in."""
        whole = self.inner if self.size < self.inner else self.row
        for first in range(0, self.count, self.rows):
            for tap in range(0, self.row, whole):
                for at in range(0, whole, self.size):
                    rows, length = min(self.rows, self.count - first), min(self.size, whole - at)
                    yield _Part(self, first, rows, tap + at, length)

    def take(self, part: _Part, words: Vector) -> None:
        """Emit what finds the extremes of a part's ``words``, and what stores those that are found."""
        begun = part.first % self.together
        if not part.first and not part.at and self.plan.layer.index:
            self._of_columns = self._extremes(max(words.count // self.inner, 1) * self.inner)
        if not begun and not part.at:
            self._of_rows = self._extremes(min(self.together, self.count - part.first))
        for op, extremes in self._of_rows:
            to = Rows(extremes.at(begun, part.rows), 0, 1)
            self.v.rows(op, to, to, Rows(words, 1, part.length), n=part.length, reps=part.rows)
        for op, extremes in self._of_columns:
            some = extremes.at(part.at % self.inner, words.count)
            self.v.emit(op, some, words, to=some)
        if part.at + part.length < self.row:
            return
        rows = begun + part.rows
        if rows == self.together or part.first + part.rows == self.count:
            self._store(self.plan.ranges, self.count, part.first - begun, self._of_rows)
        if part.first + part.rows == self.count:
            found = [(op, self.v.folded(op, extremes, self.inner)) for op, extremes in self._of_columns]
            self._store(self.plan.error_ranges, self.inner, 0, found)

    def _extremes(self, count: int) -> list[tuple[Op, Vector]]:
        """For the lowest and the highest of so many."""
        return [(op, self.v.copy(ZERO, count=count)) for op in (Op.MINIMUM, Op.MAXIMUM)]

    def _store(self, piece: Piece, count: int, first: int, extremes: Sequence[tuple[Op, Vector]]) -> None:
        for place, (_, found) in enumerate(extremes):
            self.moves.store(found, piece.words(place * count + first, found.count))
