"""Sums, differences and shifts of integers."""

import enum

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, late
from cpt.hw.channel.ports import WORD_BITS

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

    latency_cycles = 5

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
        coarse, fine = Signal(2, reset_less=True), Signal(4, reset_less=True)
        m.d.sync += [coarse.eq(self.shift[4:]), fine.eq(self.shift[:4])]

        # 1, 2, 3: shifted to the right, by 16s, by 4s, by 1s; to the left in the first two.
        right, left = (
            [Signal(INTEGER, name=f"{name}_{n}", reset_less=True) for n in range(count)]
            for name, count in (("right", 3), ("left", 2))
        )
        a, b = late(m, self.a, 2, "a"), late(m, self.b, 2, "b")
        m.d.sync += [
            right[0].eq(self.a >> (coarse << 4)),
            right[1].eq(right[0] >> (fine[2:] << 2)),
            left[0].eq(Mux(coarse[0], self.a << 16, self.a << (fine[2:] << 2))),
            left[1].eq(left[0] << fine[:2]),
        ]
        value = Signal(INTEGER, reset_less=True)
        with m.Switch(self.kind):
            with m.Case(Integers.COPY):
                m.d.sync += value.eq(right[1] >> fine[:2])
            with m.Case(Integers.JOIN):
                m.d.sync += value.eq(Cat(a[:WORD_BITS], b[: INTEGER.width - WORD_BITS]))
            with m.Case(Integers.SUM_MAGNITUDES):
                m.d.sync += value.eq(left[1] + b)
            with m.Default():
                m.d.sync += value.eq(Mux(self.kind == Integers.SUBTRACT, a - b, a + b))

        # 4: its magnitude; 5: added up.
        adds = Signal(reset_less=True)
        size = Signal(INTEGER, reset_less=True)
        m.d.sync += [
            adds.eq(self.kind == Integers.SUM_MAGNITUDES),
            size.eq(Mux(value[-1] & adds, -value, value)),
        ]
        first, c = late(m, self.first, 4, "first"), late(m, self.c, 4, "c")
        valid = late(m, self.valid, 4, "sum_valid", reset_less=False)
        held = Mux(adds, Mux(first, c, self.result), 0)
        with m.If(valid):
            m.d.sync += self.result.eq(held + size)
        return m
