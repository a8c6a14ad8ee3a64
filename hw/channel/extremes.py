"""The larger or smaller of two numbers, or the extreme of a whole row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, INTEGER, late

_SIGN = FLOAT_BITS - 1


class Extremes(wiring.Component):
    """MAXIMUM, MINIMUM, LARGEST, and those of integers. Floats are compared as they are, -0 as +0.

    Members: ``floats``, ``least``: the smaller one; ``magnitude``: of b, a float, without its sign; these
    stay while anything is under way; ``valid``, ``first``: of a row, else the extreme so far takes the place
    of a; ``a``, ``b``; ``done``, ``result``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 3

    def __init__(self):
        super().__init__(
            {
                "floats": In(1),
                "least": In(1),
                "magnitude": In(1),
                "valid": In(1),
                "first": In(1),
                "a": In(INTEGER),
                "b": In(INTEGER),
                "done": Out(1),
                "result": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # 1: floats as integers of the same order.
        keys = [Signal(INTEGER, name=f"key_{name}", reset_less=True) for name in "ab"]
        for key, value in zip(keys, (self.a, self.b), strict=True):
            size = value[:_SIGN]
            positive = ~value[_SIGN] | (self.magnitude & (key is keys[1]))
            m.d.sync += key.eq(Mux(self.floats, Mux(positive, size, -size), value))
        # 2: the chosen one.
        valid, first = (
            late(m, self.valid, 1, "chosen_valid", reset_less=False),
            late(m, self.first, 1, "first"),
        )
        best, held = Signal(INTEGER, reset_less=True), Signal(INTEGER)
        m.d.comb += held.eq(Mux(first, keys[0], best))
        with m.If(valid):
            m.d.sync += best.eq(Mux((keys[1] < held) == self.least, keys[1], held))
        # 3: floats again.
        negative = best[-1]
        size = Mux(negative, -best[:_SIGN], best)[:_SIGN]
        m.d.sync += self.result.eq(Mux(self.floats, Cat(size, negative), best))
        return m
