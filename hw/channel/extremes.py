"""The larger or smaller of two numbers, or the extreme of a whole row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, INTEGER, chosen, late, twins
from cpt.hw.matrix.copies import MOST_LOADS

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
        for number, (key, value) in enumerate(zip(keys, (self.a, self.b), strict=True)):
            size = value[:_SIGN]
            positive = ~value[_SIGN] | (self.magnitude if number else 0)
            floats = twins(m, self.floats, INTEGER.width, f"floats_{number}")
            m.d.sync += key.eq(chosen(m, floats, Mux(positive, size, -size), value, INTEGER))
        # 2: the chosen one.
        firsts, valids = (
            twins(m, value, INTEGER.width, name)
            for value, name in ((self.first, "first"), (self.valid, "chosen_valid"))
        )
        best, better = Signal(INTEGER, reset_less=True), Signal(INTEGER)
        held = chosen(m, firsts, keys[0], best, INTEGER)
        m.d.comb += better.eq(Mux((keys[1] < held) == self.least, keys[1], held))
        for n, valid in enumerate(valids):
            part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
            with m.If(valid):
                m.d.sync += best[part].eq(better[part])
        # 3: floats again.
        negative = best[-1]
        size = Mux(negative, -best[:_SIGN], best)[:_SIGN]
        floats = twins(m, self.floats, INTEGER.width, "floats")
        m.d.sync += self.result.eq(chosen(m, floats, Cat(size, negative), best, INTEGER))
        return m
