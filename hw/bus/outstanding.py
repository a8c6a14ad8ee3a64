"""How many bursts are in flight."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Outstanding(wiring.Component):
    """Counts bursts in flight.

    Parameters: ``limit``, at least 1.
    Members: ``issue``: one more, not while ``full``; ``finish``: one less; ``full``, ``none``: there are
    ``limit``, there are none (both registered).
    """

    def __init__(self, limit: int):
        self.limit = limit
        super().__init__({"issue": In(1), "finish": In(1), "full": Out(1), "none": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(range(self.limit + 1))
        more, fewer = self.issue & ~self.finish, self.finish & ~self.issue
        with m.If(more):
            m.d.sync += [count.eq(count + 1), self.full.eq(count == self.limit - 1), self.none.eq(0)]
        with m.If(fewer):
            m.d.sync += [count.eq(count - 1), self.full.eq(0), self.none.eq(count == 1)]
        return m
