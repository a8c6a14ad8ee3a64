"""Whether the machine runs: errors, halt, soft reset, busy."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import Error

SETTLE_CYCLES = 4
"""From a stop to the last burst that an engine puts on its port all the same."""


class Control(wiring.Component):
    """Collects errors and decides when engines stop and restart.

    Any error but ``busy_write`` halts. A halt, and a soft reset that waits, stop every engine; transfers in
    flight finish. The soft reset takes effect once nothing is in flight.

    Members: ``errors``: one bit per `cpt.hw.contract.Error`, now; ``soft_reset``: asked for now; ``working``:
    some engine has work; ``quiet``: nothing is in flight on any AXI port; ``stop``: issue nothing new;
    ``halted``; ``busy`` (a register); ``reset``: restart everything now. ``reset`` is a register that the
    domain's reset sets, so that one net resets all engines in both cases.
    """

    errors: In(len(Error))
    soft_reset: In(1)
    working: In(1)
    quiet: In(1)
    stop: Out(1)
    halted: Out(1)
    busy: Out(1)
    reset: Out(1, init=1)

    def elaborate(self, platform):
        m = Module()
        pending = Signal()
        harmless = 1 << Error.BUSY_WRITE
        # A stop takes a few cycles to arrive everywhere; until then nothing is known to be quiet.
        stopped = Signal(SETTLE_CYCLES)
        settled = stopped[-1]
        m.d.comb += self.stop.eq(self.halted | pending)
        m.d.sync += [
            stopped.eq(Mux(self.stop, Cat(1, stopped), 0)),
            self.busy.eq((self.working & ~(self.halted & settled)) | ~self.quiet | pending),
            self.reset.eq(pending & settled & self.quiet & ~self.reset),
        ]
        with m.If((self.errors & ~harmless).any()):
            m.d.sync += self.halted.eq(1)
        with m.If(self.soft_reset):
            m.d.sync += pending.eq(1)
        with m.If(self.reset):
            m.d.sync += [pending.eq(0), self.halted.eq(0), stopped.eq(0), self.busy.eq(0)]
        return m
