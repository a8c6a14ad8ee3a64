"""What the forward and the backward pass share: local words, channels' places, running values."""

from __future__ import annotations

from cpt.host.compiler.builder import Builder
from cpt.host.compiler.emitter import Emitter
from cpt.host.compiler.memory import Piece, Scratch
from cpt.host.compiler.plan import Codes, Layout
from cpt.host.compiler.vectors import ZERO, Vector, Vectors, coefficient, integer
from cpt.hw.contract.floats import Coefficient, Space
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT

UNITS, FEATURES, KEPT, TEMPORARY, CHUNK, END = 0, 512, 1536, 2816, 7168, 16384
"""Local words: units of codes; features and gradients of the classifier's inputs; vectors between
convolutions; temporary vectors; pieces of parameters."""
SCALARS = KEPT + 1024
QUARTER = 128
"""Channels of coefficients and statistics that a convolution uses at a time."""
SIDE, STREAM = 2 * QUARTER, 3 * QUARTER
"""Where the shortcut's, and the residual stream's, lie."""
TENSORS = 5
Y, X, OTHER, SHORTCUT, MASK = range(TENSORS)
"""Tensors of scratch."""


class Work:
    """One list of instructions under way, for one layout of a network."""

    def __init__(self, layout: Layout, scratch: Scratch, rate: float) -> None:
        self.layout, self.scratch, self.rate = layout, scratch, rate
        self.builder = Builder(layout.config)
        self.v = Vectors(self.builder, TEMPORARY, CHUNK)
        self.e = Emitter(layout, scratch, self.builder, self.v)
        self._turn = 0

    def _unit(self, codes: Codes) -> Vector:
        return Vector(Space.LOCAL, codes.unit, 1)

    def _region(self) -> int:
        """A quarter of the channels, the other one than the last."""
        self._turn ^= 1
        return self._turn * QUARTER

    def _held(self, channels: int) -> int:
        """Channels in whole groups."""
        return self.layout.groups(channels) * self.layout.group

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
        record = self.e.load(codes_of)
        zero, scale, sums = (record.at(part * count, count) for part in range(3))
        v.copy(zero, to=coefficient(Coefficient.ZERO, first, count))
        return scale, sums
