"""What the forward and the backward pass share: local words, channels' places, running values."""

from __future__ import annotations

from collections.abc import Iterator

from cpt.host.compiler.lanes import Lanes
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import PAIR, Piece
from cpt.host.compiler.moves import Moves
from cpt.host.compiler.plan import Codes, Layout
from cpt.host.compiler.products import Products
from cpt.host.compiler.vectors import ZERO, Vector, Vectors, coefficient, integer
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import CHANNELS, LOCAL_WORDS, Coefficient, Space
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT

CHUNK = 9216
"""Local words that pieces of parameters may take at once."""
Y, X, OTHER, SIDE = range(4)
"""Banks of scratch by what they hold: y; the residual stream or its gradient and its successor; what joins
a block's end, the gradient inside a block, masks."""


class Work:
    """One list of instructions under way, for one layout of a network."""

    def __init__(self, layout: Layout, rate: float) -> None:
        self.layout, self.rate = layout, rate
        self.recorder = Recorder(layout.config, layout.unit_words, LOCAL_WORDS)
        self.v = Vectors(self.recorder)
        self.moves = Moves(layout, self.recorder, self.v)
        self.products = Products(layout, self.recorder)
        self.lanes = Lanes(layout, self.recorder, self.moves)
        self._next_channel = 0

    def _unit(self, codes: Codes) -> Vector:
        return Vector(Space.LOCAL, codes.unit, 1)

    def _units(self) -> Vector:
        """Units of all codes."""
        return Vector(Space.LOCAL, 0, self.layout.unit_words)

    def _region(self, channels: int) -> int:
        """Places for ``channels``' coefficients and statistics: behind the last ones, round and round."""
        held = self._held(channels)
        first = self._next_channel if self._next_channel + held <= CHANNELS else 0
        self._next_channel = first + held
        return first

    def _held(self, channels: int) -> int:
        """Channels in whole groups."""
        return self.layout.groups(channels) * self.layout.group

    def _classes(self) -> Iterator[tuple[int, int]]:
        """Classes whose weights local memory holds at once: the first and how many."""
        inputs = self.layout.blocks[-1].main[-1].conv.out_channels
        classes = self.layout.parameter("classifier.bias").size // 4
        most = max(PAIR, CHUNK // (3 * max(inputs, self.layout.images)) // PAIR * PAIR)
        if most < classes and classes % PAIR:
            raise ContractError(
                f"classifier has {classes} outputs; allowed: up to {most}, or an even number beyond"
            )
        for first in range(0, classes, most):
            yield first, min(most, classes - first)

    def _clear(self, first: int, count: int) -> None:
        """Coefficients of the channels that a last group lacks: all that they make is 0."""
        beyond = self._held(count) - count
        for field in Coefficient if beyond else ():
            value = integer(LEAST_NOISE_SHIFT) if field is Coefficient.TOTAL_SHIFT else ZERO
            self.v.copy(value, to=coefficient(field, first + count, beyond), count=beyond)

    def _drain_coefficients(self, codes_of: Piece, count: int, first: int) -> tuple[Vector, Vector]:
        """Zeros of weights to the coefficients; their scale and sums."""
        v = self.v
        self._clear(first, count)
        record = self.moves.load(codes_of)
        zero, scale, sums = (record.at(part * count, count) for part in range(3))
        v.copy(zero, to=coefficient(Coefficient.ZERO, first, count))
        return scale, sums
