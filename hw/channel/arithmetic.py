"""All operations of FLOAT behind one port."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.adder import Adder
from cpt.hw.channel.exponents import Exponents, ExponentUnit
from cpt.hw.channel.extremes import Extremes
from cpt.hw.channel.fixed import Fixed
from cpt.hw.channel.integers import SHIFT_BITS, Integers, IntegerUnit
from cpt.hw.channel.multiplier import CROSS_STEPS, Multiplier, Products
from cpt.hw.channel.number import FLOAT_BITS, INTEGER, chosen, late, twins
from cpt.hw.channel.root import Roots
from cpt.hw.channel.rounder import Rounder
from cpt.hw.contract.floats import Op
from cpt.hw.matrix.copies import copies

ROOT_UNITS = 4
"""Reciprocals and roots at work at once."""
CENTRED_BIT = 8
"""Of a TO_FIXED's constant."""
OP_BITS = 5
_FRACTION_BITS = 5
_SUMS = (Op.ADD, Op.SUBTRACT, Op.MULTIPLY_ADD)
_LONG = (Op.FROM_INTEGER, Op.CROSS, Op.DRAIN_SHIFT)
_ROOTS = (Op.RECIPROCAL, Op.RECIPROCAL_ROOT)
_EXPONENTS = {Op.SCALE: Exponents.SCALE, Op.EXPONENT: Exponents.EXPONENT, Op.POWER: Exponents.POWER}
_EXTREMES = (Op.MAXIMUM, Op.MINIMUM, Op.LARGEST, Op.INT_MAXIMUM, Op.INT_MINIMUM)
_INTEGERS = {
    Op.INT_ADD: Integers.ADD,
    Op.INT_SUBTRACT: Integers.SUBTRACT,
    Op.SUM_MAGNITUDES: Integers.SUM_MAGNITUDES,
    Op.COPY: Integers.COPY,
    Op.JOIN: Integers.JOIN,
}
_ROOT_INTERVAL = Roots(ROOT_UNITS).interval_cycles
INTERVALS = {Op.CROSS: CROSS_STEPS, **dict.fromkeys(_ROOTS, _ROOT_INTERVAL)}
"""Cycles from an element to the next, of operations that take more than one."""


def latency_cycles(op: Op) -> int:
    """From an element to its result."""
    if op in _SUMS:
        return Adder.latency_cycles + (Multiplier.latency_cycles if op is Op.MULTIPLY_ADD else 0) + 1
    if op in _LONG:
        steps = CROSS_STEPS - 1 if op is Op.CROSS else 0
        return Multiplier.exact_cycles + steps + Rounder.latency_cycles + 1
    if op is Op.MULTIPLY:
        return Multiplier.latency_cycles + 1
    if op is Op.TO_FIXED:
        return Fixed.latency_cycles + 1
    if op in _ROOTS:
        return Roots.latency_cycles + 1
    of_unit = ExponentUnit if op in _EXPONENTS else Extremes if op in _EXTREMES else IntegerUnit
    return of_unit.latency_cycles + 1


class Arithmetic(wiring.Component):
    """The units of the float engine.

    Members: ``op``, ``constant``, ``fraction_bits``: of an instruction; they stay from 3 cycles before its
    first element on; ``valid``, ``first`` (see `Extremes`, `IntegerUnit`), ``a``, ``b``, ``c``: an element,
    floats in the lower 32 bits; ``done``, ``result``, ``overflow``: of a float that is infinite.
    `latency_cycles` of the operation; elements at least its `INTERVALS` apart.
    """

    def __init__(self):
        super().__init__(
            {
                "op": In(OP_BITS),
                "constant": In(signed(32)),
                "fraction_bits": In(_FRACTION_BITS),
                "valid": In(1),
                "first": In(1),
                "a": In(INTEGER),
                "b": In(INTEGER),
                "c": In(INTEGER),
                "done": Out(1),
                "result": Out(INTEGER),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._m = m
        adder, multiplier, rounder, roots = Adder(), Multiplier(), Rounder(), Roots(ROOT_UNITS)
        fixed, exponents, extremes, integers = Fixed(), ExponentUnit(), Extremes(), IntegerUnit()
        units = {
            "adder": adder,
            "multiplier": multiplier,
            "rounder": rounder,
            "roots": roots,
            "fixed": fixed,
            "exponents": exponents,
            "extremes": extremes,
            "integers": integers,
        }
        for name, unit in units.items():
            m.submodules[name] = unit
        a, b, c = self.a[:FLOAT_BITS], self.b[:FLOAT_BITS], self.c[:FLOAT_BITS]

        chained, takes_shift = self._is(Op.MULTIPLY_ADD), self._is(Op.DRAIN_SHIFT)
        chains = copies(m, chained, 2, "chains")
        m.d.comb += [
            multiplier.valid.eq(self.valid & self._is(Op.MULTIPLY, Op.MULTIPLY_ADD, *_LONG)),
            multiplier.a.eq(self.a),
            multiplier.b.eq(self.b),
            multiplier.c.eq(self.c),
            multiplier.constant.eq(self.constant),
            adder.valid.eq(Mux(chained, multiplier.done, self.valid & self._is(Op.ADD, Op.SUBTRACT))),
            adder.a.eq(Mux(chains[0], multiplier.result.as_value(), a)),
            adder.b.eq(Mux(chains[1], late(m, c, Multiplier.latency_cycles, "addend"), b)),
            adder.subtract.eq(self._is(Op.SUBTRACT)),
            rounder.valid.eq(multiplier.exact_done),
            rounder.value.eq(multiplier.exact),
            roots.valid.eq(self.valid & self._is(*_ROOTS)),
            roots.x.eq(a),
            roots.root.eq(self._is(Op.RECIPROCAL_ROOT)),
            fixed.valid.eq(self.valid & self._is(Op.TO_FIXED)),
            fixed.a.eq(a),
            fixed.b.eq(self.b),
            fixed.width.eq(self.constant),
            fixed.centred.eq(self.constant[CENTRED_BIT]),
            exponents.valid.eq(self.valid & self._is(*_EXPONENTS)),
            exponents.kind.eq(self._chosen(_EXPONENTS, Exponents)),
            exponents.a.eq(a),
            exponents.b.eq(self.b),
            extremes.valid.eq(self.valid & self._is(*_EXTREMES)),
            extremes.floats.eq(self._is(Op.MAXIMUM, Op.MINIMUM, Op.LARGEST)),
            extremes.least.eq(self._is(Op.MINIMUM, Op.INT_MINIMUM)),
            extremes.magnitude.eq(self._is(Op.LARGEST)),
            extremes.first.eq(self.first),
            extremes.a.eq(self.a),
            extremes.b.eq(self.b),
            integers.valid.eq(self.valid & self._is(*_INTEGERS)),
            integers.kind.eq(self._chosen(_INTEGERS, Integers)),
            integers.shift.eq(
                Mux(self._is(Op.SUM_MAGNITUDES), self.fraction_bits, self.constant[:SHIFT_BITS])
            ),
            integers.first.eq(self.first),
            integers.a.eq(self.a),
            integers.b.eq(self.b),
            integers.c.eq(self.c),
        ]
        kinds = {
            Op.CROSS: Products.CROSS,
            **dict.fromkeys((Op.FROM_INTEGER, Op.DRAIN_SHIFT), Products.INTEGER),
        }
        m.d.comb += multiplier.kind.eq(self._chosen(kinds, Products))

        # Whose result it is.
        shift = Mux(takes_shift, rounder.shift, rounder.result.as_value())
        alone = multiplier.done & ~chained
        found = [
            (adder.done, adder.result.as_value(), adder.overflow),
            (alone, multiplier.result.as_value(), multiplier.overflow),
            (rounder.done, shift, 0),
            (roots.done, roots.result.as_value(), roots.overflow),
            (fixed.done, fixed.result, 0),
            (exponents.done, exponents.result, exponents.overflow),
            (extremes.done, extremes.result, 0),
            (integers.done, integers.result, 0),
        ]
        of_units = (
            (Op.ADD, Op.SUBTRACT, Op.MULTIPLY_ADD),
            (Op.MULTIPLY,),
            *(_LONG, _ROOTS, (Op.TO_FIXED,), tuple(_EXPONENTS), _EXTREMES, tuple(_INTEGERS)),
        )
        done = value = overflow = 0
        for number, (ops, (valid, result, over)) in enumerate(zip(of_units, found, strict=True)):
            done, overflow = done | valid, overflow | (valid & over)
            flags = twins(m, self._is(*ops), INTEGER.width, f"from_unit_{number}")
            value = value | chosen(m, flags, result, 0, INTEGER)
        # A product on its way to the adder tells of infinity itself.
        inner = multiplier.done & chained & multiplier.overflow
        m.d.sync += [self.done.eq(done), self.result.eq(value), self.overflow.eq(overflow | inner)]
        return m

    def _is(self, *ops: Op) -> Signal:
        """Whether the instruction is one of ``ops``, from a register."""
        found = Signal(name="is_" + "_".join(op.name.lower() for op in ops)[:40], reset_less=True)
        wanted = 0
        for op in ops:
            wanted = wanted | (self.op == op)
        self._m.d.sync += found.eq(wanted)
        return found

    def _chosen(self, kinds, shape) -> Signal:
        """What ``kinds`` has for the instruction's operation, from a register."""
        found = Signal(shape, reset_less=True)
        with self._m.Switch(self.op):
            for op, kind in kinds.items():
                with self._m.Case(op):
                    self._m.d.sync += found.eq(kind)
            with self._m.Default():
                self._m.d.sync += found.eq(0)
        return found
