"""How many of something are under way."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Outstanding(wiring.Component):
    """Counts what is under way, bursts in flight for example, with a flip-flop for each.

    Bit ``n`` of the count says that there are more than ``n``, so no comparison stands behind it and a bit
    needs its neighbours alone.

    Parameters: ``limit``, at least 2.
    Members: ``issue``: one more, not while ``full``; ``finish``: one less; ``full``, ``none``: there are
    ``limit``, there are none (both registered).
    """

    def __init__(self, limit: int):
        self.limit = limit
        super().__init__({"issue": In(1), "finish": In(1), "full": Out(1), "none": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        above = Signal(self.limit)
        more, fewer = self.issue & ~self.finish, self.finish & ~self.issue
        # Gates, not choices: those would become enables and resets, further nets behind what comes late.
        kept = above & (above[1:] | ~fewer.replicate(self.limit))
        m.d.sync += above.eq(kept | (more.replicate(self.limit) & Cat(Const(1, 1), above[:-1])))
        m.d.comb += [self.full.eq(above[-1]), self.none.eq(~above[0])]
        return m
