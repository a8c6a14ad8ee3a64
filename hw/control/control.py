"""Whether the machine runs: errors, halt, soft reset, busy."""

from amaranth import Cat, Module, Signal
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
    some engine has work; ``quiet``: a cycle ago nothing was in flight on any AXI port; ``stop``: issue
    nothing new; ``halted``; ``busy``; ``reset``: restart everything now. All outputs are registers.
    ``reset`` is one that the domain's reset sets, so that one net resets all engines in both cases.
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
        # A stop takes a few cycles to arrive everywhere; until then nothing is known to be quiet.
        stopped = Signal(SETTLE_CYCLES)
        settled = stopped[-1]
        # Gates, not choices: those would become enables, a net further behind errors that come late.
        halts = Cat(error for number, error in enumerate(self.errors) if number != Error.BUSY_WRITE).any()
        going = ~self.reset
        m.d.sync += [
            self.halted.eq((self.halted | halts) & going),
            pending.eq((pending | self.soft_reset) & going),
            self.stop.eq((self.halted | halts | pending | self.soft_reset) & going),
            stopped.eq(Cat(1, stopped[:-1]) & (self.stop & going).replicate(SETTLE_CYCLES)),
            self.busy.eq(((self.working & ~(self.halted & settled)) | ~self.quiet | pending) & going),
            self.reset.eq(pending & settled & self.quiet & going),
        ]
        return m
