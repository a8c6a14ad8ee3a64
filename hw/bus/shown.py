"""A stream's payload in registers, where what takes it looks at it for long."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP, MOST_LOADS


class Shown(wiring.Component):
    """One place, loaded as long as nothing is there: so what comes late loads but the flags that say so.

    Neither side's signals reach the other's in the same cycle.

    Parameters: ``shape`` of the payload.
    Members: ``i``, ``o``: what comes is shown from the next cycle on, one every second cycle.
    """

    latency_cycles = 1

    def __init__(self, shape):
        self._width = Shape.cast(shape).width
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        given = Signal(self._width)
        held = Signal(self._width, reset_less=True)
        shows = [Signal(name=f"shows_{n}", attrs=KEEP) for n in range(-(-self._width // MOST_LOADS) + 1)]
        """The first answers, the others load parts of the payload."""
        for n, flag in enumerate(shows[1:]):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            with m.If(~flag):
                m.d.sync += held[part].eq(given[part])
        m.d.comb += [
            given.eq(self.i.payload),
            self.o.payload.eq(held),
            self.o.valid.eq(shows[0]),
            self.i.ready.eq(~shows[0]),
        ]
        m.d.sync += [flag.eq(Mux(shows[0], ~self.o.ready, self.i.valid)) for flag in shows]
        return m
