"""Notices when the machine is busy and nothing moves."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Watchdog(wiring.Component):
    """Counts cycles while ``busy`` without ``progress``.

    Members: ``limit``: cycles, 0 turns it off; ``expired``: the limit is reached now.
    """

    limit: In(32)
    busy: In(1)
    progress: In(1)
    expired: Out(1)

    def elaborate(self, platform):
        m = Module()
        idle_cycles = Signal(32)
        with m.If(~self.busy | self.progress):
            m.d.sync += idle_cycles.eq(0)
        with m.Else():
            m.d.sync += idle_cycles.eq(idle_cycles + 1)
        m.d.comb += self.expired.eq((self.limit != 0) & self.busy & (idle_cycles >= self.limit))
        return m
