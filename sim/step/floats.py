"""Float: vector operations over local memory, element by element, each as `float_unit` defines it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import FLOAT_OPERANDS, OP_DOCS, Op, SlotConstant, Space
from cpt.hw.contract.step import SUM_PARTS, SUM_WORDS, Word
from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.channel import power_of_two
from cpt.model.golden.fabric.checks import MULTIPLIER_BITS
from cpt.model.golden.fabric.codes import FRACTION_BITS, drain_shift
from cpt.sim.step.lanes import joined
from cpt.sim.step.state import State

NOISE_SHIFT = 9
"""Bit 8 of a TO_FIXED's constant adds ``2^(shift - 9)``: half of what noise is short of."""
SLOT_NUMBERS = 8
"""Addresses that a slot's constants take."""
FIXED_SPACES = (Space.CONSTANT, Space.SLOT)
_MASK = 0xFFFF_FFFF
_NO_SHIFT = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Operand:
    """Where the elements of one operand lie."""

    space: Space
    address: int
    moves: int
    stride: int

    def places(self, n: int, reps: int) -> np.ndarray:
        """Addresses of all elements, int64 (reps, n)."""
        return (
            self.address
            + self.stride * np.arange(reps, dtype=np.int64)[:, None]
            + self.moves * np.arange(n, dtype=np.int64)
        )


def operand(word: Word, name: str) -> Operand:
    """Operand ``to``, ``a``, ``b`` or ``c`` of a FLOAT."""
    values = word.values
    return Operand(
        Space(values[f"{name}_space"]), values[name], values[f"{name}_moves"], values[f"{name}_stride"]
    )


_Function = Callable[[np.ndarray, np.ndarray, np.ndarray, int, int], np.ndarray]
"""From a, b, c, the constant and the fraction bits of its slot to the results."""


def _to_fixed(a: np.ndarray, b: np.ndarray, constant: int) -> np.ndarray:
    width = constant & 0xFF
    most = float((1 << width - 1) - (width == MULTIPLIER_BITS))
    scaled = np.rint(np.ldexp(a.astype(np.float64), b.astype(np.int32)))
    values = np.clip(scaled, -most, most).astype(np.int64)
    if constant >> 8 & 1:
        values = values + (np.int64(1) << (b - NOISE_SHIFT))
    return values


def _from_integer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.size and float(np.abs(a).max()) * float(np.abs(b).max()) < 2.0**62:
        return fl.from_integer(a * b)
    return fl.from_integer(a.astype(object) * b.astype(object))


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray, constant: int) -> np.ndarray:
    return fl.from_integer(constant * a.astype(object) - b.astype(object) * c.astype(object))


def _sum_magnitudes(a: np.ndarray, b: np.ndarray, c: np.ndarray, fraction_bits: int) -> np.ndarray:
    return c + np.abs((a << fraction_bits) + b)


FUNCTIONS: dict[Op, _Function] = {
    Op.ADD: lambda a, b, c, k, f: fl.add(a, b),
    Op.SUBTRACT: lambda a, b, c, k, f: fl.subtract(a, b),
    Op.MULTIPLY: lambda a, b, c, k, f: fl.multiply(a, b),
    Op.MULTIPLY_ADD: lambda a, b, c, k, f: fl.multiply_add(a, b, c),
    Op.MAXIMUM: lambda a, b, c, k, f: np.maximum(a, b),
    Op.MINIMUM: lambda a, b, c, k, f: np.minimum(a, b),
    Op.LARGEST: lambda a, b, c, k, f: np.maximum(a, np.abs(b)),
    Op.RECIPROCAL: lambda a, b, c, k, f: fl.reciprocal(a),
    Op.RECIPROCAL_ROOT: lambda a, b, c, k, f: fl.reciprocal_root(a),
    Op.SCALE: lambda a, b, c, k, f: fl.scale(a, b),
    Op.EXPONENT: lambda a, b, c, k, f: fl.exponent(a),
    Op.POWER: lambda a, b, c, k, f: power_of_two(a),
    Op.FROM_INTEGER: lambda a, b, c, k, f: _from_integer(a, b),
    Op.TO_FIXED: lambda a, b, c, k, f: _to_fixed(a, b, k),
    Op.CROSS: lambda a, b, c, k, f: _cross(a, b, c, k),
    Op.INT_ADD: lambda a, b, c, k, f: a + b,
    Op.INT_SUBTRACT: lambda a, b, c, k, f: a - b,
    Op.INT_MAXIMUM: lambda a, b, c, k, f: np.maximum(a, b),
    Op.INT_MINIMUM: lambda a, b, c, k, f: np.minimum(a, b),
    Op.SUM_MAGNITUDES: lambda a, b, c, k, f: _sum_magnitudes(a, b, c, f),
    Op.DRAIN_SHIFT: lambda a, b, c, k, f: drain_shift(a * b, 1),
    Op.COPY: lambda a, b, c, k, f: a >> k,
    Op.JOIN: lambda a, b, c, k, f: (a & _MASK) + (b << 32),
    Op.QUANTISE: lambda a, b, c, k, f: _to_fixed(fl.multiply(fl.subtract(a, b), c), _NO_SHIFT, k & 0xFF),
}
CHAINS: dict[Op, tuple[str, np.ufunc]] = {
    **dict.fromkeys((Op.MAXIMUM, Op.LARGEST, Op.INT_MAXIMUM), ("a", np.maximum)),
    **dict.fromkeys((Op.MINIMUM, Op.INT_MINIMUM), ("a", np.minimum)),
    Op.SUM_MAGNITUDES: ("c", np.add),
}
"""Operations that a resting destination may chain in any order, and the operand that it must be."""
assert set(FUNCTIONS) == set(OP_DOCS)


class Floats:
    """FLOAT, each at once; destinations that rest accumulate element by element."""

    def __init__(self, state: State) -> None:
        self.state = state

    def run(self, word: Word) -> None:
        """One instruction, as if its elements came one by one, a repetition after the other."""
        op, to = Op(word.op), operand(word, "to")
        sources = {name: operand(word, name) for name in "abc"}
        floats = FLOAT_OPERANDS.get(op, "")
        fraction_bits = FRACTION_BITS - self.state.slots[word.constant & 0xFF].bits
        constant = word.constant - (word.constant >> 31 << 32)
        places = to.places(word.n, word.reps)

        def evaluate(rows: slice, columns: slice) -> None:
            values = [  # a, b, c
                self._read(source, name in floats, source.places(word.n, word.reps)[rows, columns], constant)
                for name, source in sources.items()
            ]
            with np.errstate(all="ignore"):
                result = FUNCTIONS[op](values[0], values[1], values[2], constant, fraction_bits)
            self._write(to, places[rows, columns], np.broadcast_to(result, places[rows, columns].shape))

        whole = slice(None)
        order: list[tuple[int | None, int | None]]
        if not word.n * word.reps:
            return
        reads_own = to in sources.values()
        rests = word.n > 1 and not to.moves
        meets = word.reps > 1 and (not to.stride or (bool(to.moves) and to.stride < word.n))
        if self._conflicts(to, sources, word):
            order = [(row, column) for row in range(word.reps) for column in range(word.n)]
        elif self._reduced(op, word, to, sources, fraction_bits, constant):
            return
        elif reads_own and rests and meets:
            order = [(row, column) for row in range(word.reps) for column in range(word.n)]
        elif reads_own and rests:
            order = [(None, column) for column in range(word.n)]
        elif reads_own and meets:
            order = [(row, None) for row in range(word.reps)]
        else:
            order = [(None, None)]
        for place in order:
            rows, columns = (whole if at is None else slice(at, at + 1) for at in place)
            evaluate(rows, columns)

    def _reduced(
        self,
        op: Op,
        word: Word,
        to: Operand,
        sources: dict[str, Operand],
        fraction_bits: int,
        constant: int,
    ) -> bool:
        """Whether it was a chain whose order changes nothing (extremes, sums of integers), taken at once."""
        if op not in CHAINS or (to.moves and to.stride):
            return False
        held_as, reduce = CHAINS[op]
        if sources[held_as] != to or word.n * word.reps == 1:
            return False
        if sum(source == to for source in sources.values()) > 1:
            return False
        axis = 0 if to.moves else 1
        if not to.moves and not to.stride and word.reps > 1:
            return False
        floats = FLOAT_OPERANDS.get(op, "")
        a, b, c = (
            self._read(source, name in floats, source.places(word.n, word.reps), constant)
            for name, source in sources.items()
        )
        places = to.places(word.n, word.reps)
        if op is Op.SUM_MAGNITUDES:
            result = np.abs((a << fraction_bits) + b).sum(axis, dtype=np.int64)
            result = result + (c[:, 0] if axis else c[0])
        else:
            held, values = a, np.abs(b) if op is Op.LARGEST else b
            result = reduce(reduce.reduce(values, axis), held[:, 0] if axis else held[0])
        self._write(to, places[:, 0] if axis else places[0], result)
        return True

    @staticmethod
    def _conflicts(to: Operand, sources: dict[str, Operand], word: Word) -> bool:
        """Whether an operand that walks otherwise than the destination may read what it wrote."""
        written = to.places(word.n, word.reps)
        for source in sources.values():
            if source.space is to.space and source != to:
                read = source.places(word.n, word.reps)
                if read.max() >= written.min() and written.max() >= read.min():
                    return True
        return False

    def _read(self, source: Operand, as_float: bool, places: np.ndarray, constant: int) -> np.ndarray:
        state, space = self.state, source.space
        if space in FIXED_SPACES:
            number = self._number(source, as_float, constant)
            return np.full(places.shape, number, np.float32 if as_float else np.int64)
        if space is Space.LOCAL:
            words = state.local[places]
            return words.view(np.float32) if as_float else words.astype(np.int64)
        if as_float:
            raise ContractError(f"FLOAT reads a float from {space.name}; allowed: LOCAL, CONSTANT, SLOT")
        if space is Space.STATISTICS:
            return state.statistics[places]
        if space is Space.COEFFICIENTS:
            return state.coefficients[places]
        return self._sums(places, source)

    def _number(self, source: Operand, as_float: bool, constant: int) -> np.float32 | int:
        if source.space is Space.CONSTANT:
            return np.uint32(constant & _MASK).view(np.float32) if as_float else constant
        slot, which = divmod(source.address, SLOT_NUMBERS)
        bits = self.state.slots[slot].bits
        top, largest = (1 << bits) - 1, (1 << bits - 1) - 1
        numbers: dict[SlotConstant, int | np.float32] = {
            SlotConstant.BITS: bits,
            SlotConstant.FRACTION_BITS: FRACTION_BITS - bits,
            SlotConstant.TOP: np.float32(top) if as_float else top,
            SlotConstant.TOP_SHARE: fl.fraction(top),
            SlotConstant.LARGEST: np.float32(largest) if as_float else largest,
            SlotConstant.LARGEST_SHARE: fl.fraction(max(largest, 1)),
        }
        return numbers[SlotConstant(which)]

    def _sums(self, places: np.ndarray, source: Operand) -> np.ndarray:
        """48-bit sums of dW, in `SUM_WORDS`: an address counts groups of lanes, elements are lanes of the
        group."""
        state, group = self.state, self.state.group
        start = source.places(1, len(places))
        lane = (start % 2) * group + (places - start)
        first = start // 2 * SUM_WORDS
        parts = [
            state.scratch[first + part, lane].view(np.uint16).reshape(places.shape)
            for part in range(SUM_PARTS)
        ]
        return joined(parts)

    def _write(self, to: Operand, places: np.ndarray, values: np.ndarray) -> None:
        state = self.state
        if to.space is Space.LOCAL:
            if values.dtype == np.float32:
                state.local[places] = np.ascontiguousarray(values).view(np.int32)
            else:
                state.local[places] = (values & _MASK).astype(np.uint32).view(np.int32)
        elif to.space is Space.COEFFICIENTS:
            state.coefficients[places] = values
        else:
            raise ContractError(f"FLOAT writes to {to.space.name}; allowed: LOCAL, COEFFICIENTS")
