"""A stream's payload in registers, where what takes it looks at it for long."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Shown(wiring.Component):
    """Two places: the one that is shown, and one for what comes while that is not taken.

    So neither side's signals reach the other's in the same cycle.

    Parameters: ``shape`` of the payload.
    Members: ``i``, ``o``: what comes is shown from the next cycle on, one a cycle.
    """

    latency_cycles = 1

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        behind = Signal.like(self.i.payload, reset_less=True)
        waits, moves = Signal(), Signal()
        m.d.comb += [self.i.ready.eq(~waits), moves.eq(~self.o.valid | self.o.ready)]
        m.d.sync += waits.eq(~moves & (waits | self.i.valid))
        with m.If(~waits):
            m.d.sync += behind.eq(self.i.payload)
        with m.If(moves):
            m.d.sync += [
                self.o.payload.eq(Mux(waits, behind, self.i.payload)),
                self.o.valid.eq(waits | self.i.valid),
            ]
        return m
