"""FLOAT instructions as expressions: vectors in local memory, and what operations give.

A `Vector` has as many elements as channels, or one, which serves all. Names and orders of operations follow
`cpt.model.golden.fabric`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cpt.host.compiler.builder import Region
from cpt.host.compiler.lifetimes import Recorder
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import FIELD, Coefficient, Op, SlotConstant, Space, Statistic
from cpt.hw.contract.step import Code

LOCAL = "local"
MEMORIES = {Space.LOCAL: LOCAL, Space.STATISTICS: "statistics", Space.COEFFICIENTS: "coefficients"}
"""Names of the regions of FLOAT's operands."""
SLOT_NUMBERS = 8
MULTIPLIER_BITS, ADDEND_BITS, LANE_BITS, CODE_BITS = 18, 47, 16, 26
"""Widths that `Vectors.to_fixed` cuts at; no code of a weight is as wide as the last."""
_MOST = struct.unpack("<f", struct.pack("<I", 0x7F7F_FFFF))[0]
"""The largest float32."""
CENTRED = 1 << 8
"""Added to a width: half of the noise's step more."""


@dataclass(frozen=True)
class Vector:
    """Elements of one memory."""

    space: Space
    address: int
    count: int = 1
    constant: int | None = None
    """Bits of a number that is part of the instruction."""

    def at(self, first: int, count: int) -> Vector:
        """A part of it."""
        return Vector(self.space, self.address + first, count)

    @property
    def region(self) -> Region | None:
        """What of the memory it covers; None for numbers."""
        if self.space not in MEMORIES:
            return None
        return Region(MEMORIES[self.space], self.address, self.address + self.count)


@dataclass(frozen=True)
class Rows:
    """An operand with repetitions: where it starts, whether elements move, words per repetition."""

    vector: Vector
    moves: int = 0
    stride: int = 0


def number(value: float) -> Vector:
    """A float32 as part of the instruction."""
    return Vector(Space.CONSTANT, 0, constant=int.from_bytes(struct.pack("<f", value), "little"))


def integer(value: int) -> Vector:
    """An integer as part of the instruction."""
    return Vector(Space.CONSTANT, 0, constant=value & 0xFFFF_FFFF)


def of_slot(slot: int, which: SlotConstant) -> Vector:
    """A number that follows from a slot's bits."""
    return Vector(Space.SLOT, slot * SLOT_NUMBERS + which)


def statistic(which: Statistic, channel: int, count: int) -> Vector:
    """A field of the statistics of ``count`` channels."""
    return Vector(Space.STATISTICS, which * FIELD + channel, count)


def coefficient(which: Coefficient, channel: int, count: int) -> Vector:
    """A field of the coefficients of ``count`` channels."""
    return Vector(Space.COEFFICIENTS, which * FIELD + channel, count)


ZERO = Vector(Space.CONSTANT, 0, constant=0)
"""The number 0; like any number the only one of its instruction."""
UNUSED = Vector(Space.CONSTANT, 0)
"""An operand that the operation does not look at."""


@dataclass
class Vectors:
    """Emits FLOAT instructions into a program, with new vectors for their results."""

    builder: Recorder
    sums: tuple[Region, ...] = ()
    """Where 48-bit sums lie now."""

    def new(self, count: int) -> Vector:
        """A vector of ``count`` words."""
        return Vector(Space.LOCAL, self.builder.name(count), count)

    def emit(
        self,
        op: Op,
        a: Vector,
        b: Vector = UNUSED,
        c: Vector = UNUSED,
        to: Vector | None = None,
        constant: int | None = None,
        count: int | None = None,
    ) -> Vector:
        """One instruction over as many elements as the longest operand has; `rows` has repetitions."""
        sources = (a, b, c)
        held = _number(op, sources, constant)
        count = count or max(item.count for item in sources)
        to = to or self.new(count)
        fields = {"op": int(op), "n": count, "reps": 1, "constant": held & 0xFFFF_FFFF}
        for name, item in (("to", to), ("a", a), ("b", b), ("c", c)):
            fields |= {
                f"{name}_space": int(item.space),
                f"{name}": item.address,
                f"{name}_moves": int(item.count > 1),
            }
        reads = [region for item in sources if (region := item.region)]
        written = [region] if (region := to.region) else []
        self.builder.add(Code.FLOAT, reads, written, **fields)
        return to

    def rows(
        self,
        op: Op,
        to: Rows,
        a: Rows,
        b: Rows | None = None,
        c: Rows | None = None,
        *,
        n: int,
        reps: int,
        constant: int | None = None,
    ) -> None:
        """One instruction over ``reps`` repetitions of ``n`` elements."""
        fields = {"op": int(op), "n": n, "reps": reps}
        reads: list[Region] = []
        written: list[Region] = []
        for name, item in (("to", to), ("a", a), ("b", b), ("c", c)):
            rows = item or Rows(UNUSED)
            fields |= {
                f"{name}_space": int(rows.vector.space),
                f"{name}": rows.vector.address,
                f"{name}_moves": rows.moves,
                f"{name}_stride": rows.stride,
            }
            if rows.vector.space in MEMORIES:
                length = rows.stride * (reps - 1) + rows.moves * (n - 1) + 1
                start = rows.vector.address
                region = Region(MEMORIES[rows.vector.space], start, start + length)
                (written if name == "to" else reads).append(region)
            elif rows.vector.space is Space.SUMS:
                reads += self.sums
        sources = tuple(item.vector for item in (a, b, c) if item)
        held = _number(op, sources, constant)
        self.builder.add(Code.FLOAT, reads, written, constant=held & 0xFFFF_FFFF, **fields)

    def folded(self, op: Op, numbers: Vector, count: int) -> Vector:
        """Of ``numbers`` that stand side by side for ``count`` rows, by turns, one of every row."""
        held = numbers.count // count
        while held > 1:
            some = held // 2 * count
            self.emit(op, numbers.at(0, some), numbers.at(held * count - some, some), to=numbers.at(0, some))
            held -= held // 2
        return numbers.at(0, count)

    # ---------------------------------------------------------------------------------- float32

    def add(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """``fl(a + b)``."""
        return self.emit(Op.ADD, a, b, to=to)

    def subtract(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """``fl(a - b)``."""
        return self.emit(Op.SUBTRACT, a, b, to=to)

    def multiply(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """``fl(a * b)``."""
        return self.emit(Op.MULTIPLY, a, b, to=to)

    def multiply_add(self, a: Vector, b: Vector, c: Vector, to: Vector | None = None) -> Vector:
        """``fl(fl(a * b) + c)``."""
        return self.emit(Op.MULTIPLY_ADD, a, b, c, to=to)

    def maximum(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """The larger of both."""
        return self.emit(Op.MAXIMUM, a, b, to=to)

    def minimum(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """The smaller of both."""
        return self.emit(Op.MINIMUM, a, b, to=to)

    def magnitude(self, a: Vector, *others: Vector) -> Vector:
        """The largest of the magnitudes, element by element."""
        found = self.emit(Op.LARGEST, ZERO, a)
        for other in others:
            found = self.larger(found, other)
        return found

    def larger(self, a: Vector, b: Vector) -> Vector:
        """The larger of a and the magnitude of b."""
        return self.emit(Op.LARGEST, a, b)

    def highest(self, values: Vector, least: float = -_MOST) -> Vector:
        """The largest element, or ``least``."""
        held = self.copy(number(least))
        return self.emit(Op.MAXIMUM, held, values, to=held)

    def largest(self, *vectors: Vector, least: float = 0.0) -> Vector:
        """The largest magnitude of all elements, or ``least``."""
        held = self.copy(number(least))
        for values in vectors:
            self.emit(Op.LARGEST, held, values, to=held)
        return held

    def reciprocal(self, a: Vector) -> Vector:
        """``fl(1 / a)``."""
        return self.emit(Op.RECIPROCAL, a)

    def reciprocal_root(self, a: Vector) -> Vector:
        """``fl(1 / sqrt(a))``."""
        return self.emit(Op.RECIPROCAL_ROOT, a)

    def scale(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """``a * 2^b``."""
        return self.emit(Op.SCALE, a, b, to=to)

    def exponent(self, a: Vector) -> Vector:
        """``floor(log2 |a|)``."""
        return self.emit(Op.EXPONENT, a)

    def power(self, a: Vector) -> Vector:
        """Smallest k with ``32752 * 2^k >= a``."""
        return self.emit(Op.POWER, a)

    # --------------------------------------------------------------------------------- integers

    def from_integer(self, a: Vector, b: Vector | None = None) -> Vector:
        """``fl(a * b)``."""
        return self.emit(Op.FROM_INTEGER, a, b or integer(1))

    def to_fixed(self, a: Vector, b: Vector, width: int, to: Vector | None = None) -> Vector:
        """``rint(a * 2^b)``, cut at a width."""
        return self.emit(Op.TO_FIXED, a, b, to=to, constant=width)

    def cross(self, a: Vector, b: Vector, c: Vector, count: int) -> Vector:
        """``fl(count * a - b * c)``."""
        return self.emit(Op.CROSS, a, b, c, constant=count)

    def int_add(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """Sum of integers."""
        return self.emit(Op.INT_ADD, a, b, to=to)

    def int_subtract(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """Difference of integers."""
        return self.emit(Op.INT_SUBTRACT, a, b, to=to)

    def int_maximum(self, a: Vector, b: Vector) -> Vector:
        """The larger of integers."""
        return self.emit(Op.INT_MAXIMUM, a, b)

    def int_minimum(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """The smaller of integers."""
        return self.emit(Op.INT_MINIMUM, a, b, to=to)

    def drain_shift(self, a: Vector, b: Vector, to: Vector | None = None) -> Vector:
        """Smallest h with ``a * b <= 32767 * 2^h``."""
        return self.emit(Op.DRAIN_SHIFT, a, b, to=to)

    def copy(self, a: Vector, to: Vector | None = None, shift: int = 0, count: int | None = None) -> Vector:
        """Words as they are; of a longer integer the 32 bits from ``shift`` on."""
        if a.constant is not None:
            return self.emit(Op.COPY, a, to=to, count=count) if not a.constant else self._filled(a, to, count)
        return self.emit(Op.COPY, a, to=to, constant=shift or None, count=count)

    def _filled(self, a: Vector, to: Vector | None, count: int | None) -> Vector:
        return self.emit(Op.INT_MAXIMUM, a, a, to=to, count=count)

    def join(self, low: Vector, high: Vector, to: Vector) -> Vector:
        """A longer integer from its two words."""
        return self.emit(Op.JOIN, low, high, to=to)


def _number(op: Op, sources: tuple[Vector, ...], constant: int | None) -> int:
    """The one number that an instruction holds; raises `ContractError` where it would be two."""
    numbers = {item.constant for item in sources if item.constant is not None}
    if constant is not None:
        numbers.add(constant)
    if len(numbers) > 1:
        raise ContractError(f"{op.name} takes the numbers {sorted(numbers)}; allowed: one an instruction")
    return numbers.pop() if numbers else 0
