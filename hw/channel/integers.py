"""Sums, differences and shifts of integers."""

import enum

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, chosen, inverted, late, negated, twins
from cpt.hw.channel.ports import WORD_BITS
from cpt.hw.matrix.copies import MOST_LOADS

SHIFT_BITS = 6


class Integers(enum.IntEnum):
    """What is done."""

    ADD = 0
    SUBTRACT = 1
    SUM_MAGNITUDES = 2
    COPY = 3
    JOIN = 4


class IntegerUnit(wiring.Component):
    """INT_ADD, INT_SUBTRACT, SUM_MAGNITUDES, COPY and JOIN on 48 bits, signed; what is longer loses its top.

    Members: ``kind`` (`Integers`); ``shift``: right, of COPY; left, 0 .. 16, of SUM_MAGNITUDES; both stay
    while anything is under way; ``valid``, ``first``: of a row, else the sum of magnitudes so far takes the
    place of c; ``a``, ``b``, ``c``; ``done``, ``result``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 6

    def __init__(self):
        super().__init__(
            {
                "kind": In(Integers),
                "shift": In(SHIFT_BITS),
                "valid": In(1),
                "first": In(1),
                "a": In(INTEGER),
                "b": In(INTEGER),
                "c": In(INTEGER),
                "done": Out(1),
                "result": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # 1, 2, 3: shifted to the right, by 16s, by 4s, by 1s; to the left in the first two.
        left_coarse = Mux(self.shift[4], 4, self.shift[2:4])
        right = self._shifted(m, "right_16", self.a, self.shift[4:], lambda value, n: value >> 16 * n)
        right = self._shifted(m, "right_4", right, self.shift[2:4], lambda value, n: value >> 4 * n)
        left = self._shifted(m, "left_4", self.a, left_coarse, lambda value, n: value << 4 * n)
        left = self._shifted(m, "left_1", left, self.shift[:2], lambda value, n: value << n)
        copied = self._shifted(m, "right_1", right, self.shift[:2], lambda value, n: value >> n)
        a, b = late(m, self.a, 2, "a"), late(m, self.b, 2, "b")
        joined, total = Signal(INTEGER, reset_less=True), Signal(INTEGER, reset_less=True)
        takes_b = twins(m, self.kind == Integers.SUBTRACT, INTEGER.width, "subtracts")
        of_sum = twins(m, self.kind == Integers.SUM_MAGNITUDES, INTEGER.width, "of_sum")
        first_term, second_term = chosen(m, of_sum, left, a, INTEGER), inverted(m, takes_b, b)
        m.d.sync += [
            joined.eq(Cat(a[:WORD_BITS], b[: INTEGER.width - WORD_BITS])),
            total.eq((Cat(1, first_term) + Cat(takes_b[0], second_term))[1:]),
        ]
        # 4: which of them; 5: its magnitude; 6: added up.
        copying, joining, adding = (
            twins(m, self.kind == kind, INTEGER.width, kind.name.lower())
            for kind in (Integers.COPY, Integers.JOIN, Integers.SUM_MAGNITUDES)
        )
        value, size = Signal(INTEGER, reset_less=True), Signal(INTEGER, reset_less=True)
        m.d.sync += value.eq(chosen(m, copying, copied, chosen(m, joining, joined, total, INTEGER), INTEGER))
        signs = twins(m, total[-1] & adding[0], INTEGER.width, "sign")
        m.d.sync += size.eq(negated(m, signs, value))
        firsts = twins(m, late(m, self.first, 4, "first"), INTEGER.width, "first_of_row")
        held = chosen(m, firsts, late(m, self.c, 5, "c"), self.result, INTEGER)
        valids = twins(m, late(m, self.valid, 4, "sum_valid", reset_less=False), INTEGER.width, "valid_sum")
        found = Signal(INTEGER)
        m.d.comb += found.eq(chosen(m, adding, held, 0, INTEGER) + size)
        for n, valid in enumerate(valids):
            part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
            with m.If(valid):
                m.d.sync += self.result[part].eq(found[part])
        return m

    @staticmethod
    def _shifted(m: Module, name: str, value, amount, by) -> Signal:
        """``by(value, amount)``, a cycle later; ``amount`` stays."""
        found = Signal(INTEGER, name=name, reset_less=True)
        ways = [Signal(INTEGER, name=f"{name}_by_{n}") for n in range(1 << len(amount))]
        m.d.comb += [way.eq(by(value, n)) for n, way in enumerate(ways)]
        for number, choice in enumerate(twins(m, amount, INTEGER.width, f"{name}_amount")):
            part = slice(number * MOST_LOADS, (number + 1) * MOST_LOADS)
            with m.Switch(choice):
                for n, way in enumerate(ways):
                    with m.Case(n):
                        m.d.sync += found[part].eq(way[part])
        return found
