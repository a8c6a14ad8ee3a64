"""Products of small numbers, a bit a cycle: what instructions leave to be worked out."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

FACTOR_BITS = 32


class Product(wiring.Component):
    """``start + factor * count``, modulo 2**32.

    Parameters: ``count_bits``.
    Members: ``go``: take ``start``, ``factor`` and ``count``; ``done``: for a cycle, ``total`` is there and
    stays until the next ``go``.
    Latency from ``go`` to ``done`` a cycle, and one for each bit up to the highest that is set in ``count``.
    """

    latency_cycles = 1

    def __init__(self, count_bits: int):
        super().__init__(
            {
                "go": In(1),
                "start": In(FACTOR_BITS),
                "factor": In(FACTOR_BITS),
                "count": In(count_bits),
                "done": Out(1),
                "total": Out(FACTOR_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        factor, count = Signal(FACTOR_BITS, reset_less=True), Signal.like(self.count, reset_less=True)
        running = Signal()
        m.d.comb += self.done.eq(running & ~count.any())
        m.d.sync += [
            running.eq(self.go | (running & count.any())),
            factor.eq(Mux(self.go, self.factor, factor << 1)),
            count.eq(Mux(self.go, self.count, count >> 1)),
        ]
        with m.If(self.go):
            m.d.sync += self.total.eq(self.start)
        with m.Elif(count[0]):
            m.d.sync += self.total.eq(self.total + factor)
        return m
