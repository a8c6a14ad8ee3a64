"""All operations of FLOAT behind one port."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel import extremes, integers
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
from cpt.hw.matrix.copies import KEEP

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


def latency_cycles(op: Op, lanes: int) -> int:
    """From an element to its result."""
    if op in _SUMS:
        return 1 + Adder.latency_cycles + (Multiplier.latency_cycles if op is Op.MULTIPLY_ADD else 0) + 1
    if op in _LONG:
        steps = CROSS_STEPS - 1 if op is Op.CROSS else 0
        return Multiplier.exact_cycles + steps + Rounder.latency_cycles + 1
    if op is Op.QUANTISE:
        return 3 + Adder.latency_cycles + Multiplier.latency_cycles + Fixed.latency_cycles + 1
    if op is Op.MULTIPLY:
        return Multiplier.latency_cycles + 1
    if op is Op.TO_FIXED:
        return 1 + Fixed.latency_cycles + 1
    if op in _ROOTS:
        return Roots.latency_cycles + 1
    if op in _EXPONENTS:
        return ExponentUnit.latency_cycles + 1
    return (extremes if op in _EXTREMES else integers).latency_cycles(lanes) + 1


class Flags:
    """What follows from an instruction's operation, in registers of their own."""

    def __init__(self, m: Module, op: Signal):
        self._m, self._op = m, op
        self._is: dict[Op, Signal] = {}

    def among(self, *ops: Op) -> Signal:
        """Whether the instruction is one of ``ops``; of several a cycle later, by registers of each."""
        name = "is_" + "_".join(op.name.lower() for op in ops)[:40]
        found = Signal(name=name, reset_less=True, attrs=KEEP)
        several = len(ops) > 1
        self._m.d.sync += found.eq(Cat(self._one(op) if several else self._op == op for op in ops).any())
        return found

    def _one(self, op: Op) -> Signal:
        if op not in self._is:
            self._is[op] = Signal(name=f"is_{op.name.lower()}_first", reset_less=True)
            self._m.d.sync += self._is[op].eq(self._op == op)
        return self._is[op]

    def chosen(self, kinds, shape, *, early: bool = False) -> Signal:
        """What ``kinds`` has for the operation, else 0; a cycle later than a flag of one unless ``early``."""
        found = Signal(shape, reset_less=True, attrs=KEEP)
        for n, bit in enumerate(found):
            ops = [op for op, kind in kinds.items() if int(kind) >> n & 1]
            self._m.d.sync += bit.eq(Cat(self._op == op if early else self._one(op) for op in ops).any())
        return found


class Lane(wiring.Component):
    """The units that work on one element alone.

    Parameters: ``whole``: with those that take several cycles an element: CROSS, reciprocals, roots.
    Members: as of `Arithmetic`, of one element; ``result`` is 0 of operations that are not the lane's.
    """

    def __init__(self, *, whole: bool):
        self.whole = whole
        super().__init__(
            {
                "op": In(OP_BITS),
                "constant": In(signed(32)),
                "valid": In(1),
                "a": In(INTEGER),
                "b": In(INTEGER),
                "c": In(INTEGER),
                "coming": Out(1),
                "done": Out(1),
                "result": Out(INTEGER),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flags = Flags(m, self.op)
        m.submodules.adder = adder = Adder()
        m.submodules.multiplier = multiplier = Multiplier(crosses=self.whole)
        m.submodules.rounder = rounder = Rounder()
        m.submodules.fixed = fixed = Fixed()
        m.submodules.exponents = exponents = ExponentUnit()
        a, b, c = self.a[:FLOAT_BITS], self.b[:FLOAT_BITS], self.c[:FLOAT_BITS]
        chained, quantises = flags.among(Op.MULTIPLY_ADD), flags.among(Op.QUANTISE)
        chains_a, chains_b = (twins(m, chained, FLOAT_BITS, f"chains_{name}") for name in "ab")
        factors_a, factors_b, rounds_a, rounds_b = (
            twins(m, quantises, FLOAT_BITS, name, uses)
            for name, uses in (("factors_a", 2), ("factors_b", 3), ("rounds_a", 1), ("rounds_b", 1))
        )
        longs = _LONG if self.whole else tuple(op for op in _LONG if op is not Op.CROSS)
        kinds = {op: Products.CROSS if op is Op.CROSS else Products.INTEGER for op in longs}
        m.d.comb += [
            multiplier.kind.eq(flags.chosen(kinds, Products if self.whole else range(Products.CROSS))),
            multiplier.c.eq(self.c if self.whole else 0),
            multiplier.constant.eq(self.constant if self.whole else 0),
            rounder.valid.eq(multiplier.exact_done),
            rounder.value.eq(multiplier.exact),
            fixed.width.eq(self.constant),
            fixed.centred.eq(self.constant[CENTRED_BIT] & ~quantises),
            exponents.valid.eq(self.valid & flags.among(*_EXPONENTS)),
            exponents.kind.eq(flags.chosen(_EXPONENTS, Exponents)),
            exponents.a.eq(a),
            exponents.b.eq(self.b),
        ]
        # A register for what the adder adds: elements, or a product and what is added to it.
        adds = Mux(chained, multiplier.done, self.valid & flags.among(Op.ADD, Op.SUBTRACT, Op.QUANTISE))
        addend = late(m, c, Multiplier.latency_cycles, "addend")
        added = chosen(m, chains_a, multiplier.result.as_value(), a, FLOAT_BITS)
        m.d.comb += [
            adder.valid.eq(late(m, adds, 1, "adds", reset_less=False)),
            adder.a.eq(late(m, added, 1, "added")),
            adder.b.eq(late(m, chosen(m, chains_b, addend, b, FLOAT_BITS), 1, "added_to")),
            adder.subtract.eq(flags.among(Op.SUBTRACT, Op.QUANTISE)),
        ]
        # A difference that is multiplied, and its product that is rounded.
        difference = late(m, adder.result.as_value(), 1, "difference")
        factor = late(m, addend, Adder.latency_cycles + 2 - Multiplier.latency_cycles, "factor")
        multiplies = self.valid & flags.among(Op.MULTIPLY, Op.MULTIPLY_ADD, *longs)
        differs = late(m, adder.done & quantises, 1, "differs", reset_less=False)
        rounds = Mux(quantises, multiplier.done, self.valid & flags.among(Op.TO_FIXED))
        product = multiplier.result.as_value()
        m.d.comb += [
            multiplier.valid.eq(multiplies | differs),
            multiplier.a.eq(Cat(chosen(m, factors_a, difference, a, FLOAT_BITS), self.a[FLOAT_BITS:])),
            multiplier.b.eq(Cat(chosen(m, factors_b, factor, b, FLOAT_BITS), self.b[FLOAT_BITS:])),
            fixed.valid.eq(late(m, rounds, 1, "rounds", reset_less=False)),
            fixed.a.eq(late(m, chosen(m, rounds_a, product, a, FLOAT_BITS), 1, "rounded")),
            fixed.b.eq(late(m, chosen(m, rounds_b, 0, self.b[:FLOAT_BITS], FLOAT_BITS), 1, "rounded_by")),
        ]

        # The result of a unit that is not used is 0; a product may be on its way to the adder.
        m.d.comb += [
            rounder.used.eq(flags.among(*(op for op in longs if op is not Op.DRAIN_SHIFT))),
            rounder.shift_used.eq(flags.among(Op.DRAIN_SHIFT)),
            fixed.used.eq(flags.among(Op.TO_FIXED, Op.QUANTISE)),
            exponents.used.eq(flags.among(*_EXPONENTS)),
        ]
        floats = [adder, multiplier, exponents]
        found, done = rounder.result.as_value() | rounder.shift, rounder.done | fixed.done | exponents.done
        for name, unit, ops in (("sums", adder, _SUMS), ("products", multiplier, (Op.MULTIPLY,))):
            mine = flags.among(*ops)
            flags_of = twins(m, mine, FLOAT_BITS, name)
            found = found | chosen(m, flags_of, unit.result.as_value(), 0, FLOAT_BITS)
            done = done | (unit.done & mine)
        if self.whole:
            m.submodules.roots = roots = Roots(ROOT_UNITS)
            is_root = flags.among(*_ROOTS)
            m.d.comb += [
                roots.valid.eq(self.valid & is_root),
                roots.x.eq(a),
                roots.root.eq(flags.among(Op.RECIPROCAL_ROOT)),
                roots.used.eq(is_root),
            ]
            floats.append(roots)
            found, done = found | roots.result.as_value(), done | roots.done
        value = Signal(INTEGER)
        m.d.comb += [value.eq(found | fixed.result | exponents.result), self.coming.eq(done)]
        m.d.sync += [
            self.done.eq(done),
            self.result.eq(value),
            self.overflow.eq(Cat(unit.done & unit.overflow for unit in floats).any()),
        ]
        return m


class Arithmetic(wiring.Component):
    """The units of the float engine.

    Parameters: ``lanes``, elements at once.
    Members: ``op``, ``constant``, ``fraction_bits``, ``chain``: of an instruction; they stay from 3 cycles
    before its first element on; ``valid``, ``first`` (see `Extremes`, `IntegerUnit`), ``mask``: lanes that
    count, from lane 0 on, which alone takes operations of several cycles; ``a``, ``b``, ``c``: elements,
    floats in the lower 32 bits; ``coming``: a cycle before ``done``; ``result``; ``overflow``: of
    a float that is infinite.
    `latency_cycles` of the operation; elements at least its `INTERVALS` apart.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "op": In(OP_BITS),
                "constant": In(signed(32)),
                "fraction_bits": In(_FRACTION_BITS),
                "chain": In(1),
                "valid": In(1),
                "first": In(1),
                "mask": In(lanes),
                "a": In(INTEGER).array(lanes),
                "b": In(INTEGER).array(lanes),
                "c": In(INTEGER).array(lanes),
                "coming": Out(1),
                "done": Out(1),
                "result": Out(INTEGER).array(lanes),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flags = Flags(m, self.op)
        lanes = [Lane(whole=n == 0) for n in range(self.lanes)]
        for n, lane in enumerate(lanes):
            m.submodules[f"lane_{n}"] = lane
            m.d.comb += [
                lane.op.eq(self.op),
                lane.constant.eq(self.constant),
                lane.valid.eq(self.valid & self.mask[n] if n else self.valid),
                lane.a.eq(self.a[n]),
                lane.b.eq(self.b[n]),
                lane.c.eq(self.c[n]),
            ]
        m.submodules.extremes = extreme = Extremes(self.lanes)
        m.submodules.integers = integer = IntegerUnit(self.lanes)
        m.d.comb += [
            extreme.floats.eq(flags.among(Op.MAXIMUM, Op.MINIMUM, Op.LARGEST)),
            extreme.least.eq(flags.among(Op.MINIMUM, Op.INT_MINIMUM)),
            extreme.magnitude.eq(flags.among(Op.LARGEST)),
            integer.kind.eq(flags.chosen(_INTEGERS, Integers, early=True)),
            integer.shift.eq(
                Mux(flags.among(Op.SUM_MAGNITUDES), self.fraction_bits, self.constant[:SHIFT_BITS])
            ),
        ]
        for unit, ops in ((extreme, _EXTREMES), (integer, tuple(_INTEGERS))):
            m.d.comb += [
                unit.valid.eq(self.valid & flags.among(*ops)),
                unit.chain.eq(self.chain),
                unit.first.eq(self.first),
                unit.mask.eq(self.mask),
            ]
        for n in range(self.lanes):
            m.d.comb += [
                extreme.a[n].eq(self.a[n]),
                extreme.b[n].eq(self.b[n]),
                integer.a[n].eq(self.a[n]),
                integer.b[n].eq(self.b[n]),
                integer.c[n].eq(self.c[n]),
            ]

        # Whose result it is.
        together = extreme.done | integer.done
        m.d.comb += [
            self.coming.eq(together | lanes[0].coming),
            self.done.eq(late(m, together, 1, "done", reset_less=False) | lanes[0].done),
            self.overflow.eq(Cat(lane.overflow for lane in lanes).any()),
        ]
        for n, lane in enumerate(lanes):
            value = 0
            for name, unit, ops in (
                ("extremes", extreme, _EXTREMES),
                ("integers", integer, tuple(_INTEGERS)),
            ):
                mine = twins(m, flags.among(*ops), INTEGER.width, f"{name}_{n}")
                value = value | chosen(m, mine, unit.result[n], 0, INTEGER)
            together = Signal(INTEGER, name=f"together_{n}", reset_less=True)
            m.d.sync += together.eq(value)
            m.d.comb += self.result[n].eq(lane.result | together)
        return m
