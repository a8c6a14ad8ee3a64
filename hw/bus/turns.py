"""A wide stream's payload in registers that nothing loads late."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP

PLACES = 2
SHARED_BITS = 24
"""Bits of the payload that share flags."""


class Turns(wiring.Component):
    """Two registers by turns; one is loaded as long as it is vacant, so what takes late loads but few flags.

    So neither side's signals reach the other's in the same cycle.

    Parameters: ``shape`` of the payload; ``early``: so many bits of it, the lowest, stand in registers of
    their own.
    Members: ``i``, ``o``: what comes is there from the next cycle on, one a cycle, behind a choice of two.
    """

    latency_cycles = 1

    def __init__(self, shape, *, early: int = 0):
        self._early = early
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        given = Value.cast(self.i.payload)
        parts = [slice(first, first + SHARED_BITS) for first in range(0, len(given), SHARED_BITS)]
        into = Signal()
        shows = [Signal(name=f"shows_{n}", attrs=KEEP) for n in range(len(parts) + 1)]
        """Which place is shown: for the flags, and for each part of the payload."""
        came = Signal()
        taken = Signal()
        held, vacant = [], []
        for place in range(PLACES):
            flags = [Signal(name=f"vacant_{place}_{n}", init=1, attrs=KEEP) for n in range(len(parts) + 1)]
            held.append(Signal(len(given), name=f"held_{place}", reset_less=True))
            vacant.append(flags)
            for flag in flags:
                m.d.sync += flag.eq(Mux(flag, ~(self.i.valid & (into == place)), taken & (shows[0] == place)))
            for part, flag in zip(parts, flags[1:], strict=True):
                with m.If(flag):
                    m.d.sync += held[place][part].eq(given[part])
        m.d.comb += [
            self.i.ready.eq(Mux(into, vacant[1][0], vacant[0][0])),
            came.eq(self.i.valid & self.i.ready),
            taken.eq(self.o.valid & self.o.ready),
        ]
        both = ~vacant[0][0] & ~vacant[1][0]
        m.d.sync += self.o.valid.eq(came | both | (self.o.valid & ~taken))
        chosen = Cat(
            Mux(which, held[1][part], held[0][part]) for part, which in zip(parts, shows[1:], strict=True)
        )
        early = Signal(self._early, reset_less=True)
        others = Cat(Mux(shows[0], held[0][n], held[1][n]) for n in range(self._early))
        m.d.sync += early.eq(Mux(self.o.valid & ~taken, early, Mux(both, others, given)))
        m.d.comb += Value.cast(self.o.payload).eq(Cat(early, chosen[self._early :]))
        m.d.sync += [into.eq(into ^ came), *(which.eq(which ^ taken) for which in shows)]
        return m
