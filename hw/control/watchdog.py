"""Notices when the machine is busy and nothing moves."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Watchdog(wiring.Component):
    """Counts cycles while ``busy`` without ``progress``.

    Members: ``limit``: cycles, 0 turns it off; ``expired``: the limit was reached `latency_cycles` ago.
    """

    latency_cycles = 3

    limit: In(32)
    busy: In(1)
    progress: In(1)
    expired: Out(1)

    def elaborate(self, platform):
        m = Module()
        # A register behind each step: what moves is known late, and the sum and the comparison are long.
        idle_cycles = Signal(32, reset_less=True)
        stuck = Signal()
        reached = Signal()
        enabled = Signal()
        m.d.sync += [
            stuck.eq(self.busy & ~self.progress),
            idle_cycles.eq(idle_cycles + 1),
            reached.eq(idle_cycles >= self.limit),
            enabled.eq(self.limit != 0),
            self.expired.eq(reached & enabled & stuck),
        ]
        with m.If(~stuck):
            m.d.sync += [idle_cycles.eq(0), reached.eq(0)]
        return m
