"""How many of something are under way."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import MOST_LOADS, counted


class Outstanding(wiring.Component):
    """Counts what is under way, bursts in flight for example.

    With a flip-flop for each: bit ``n`` says that there are more than ``n``, so no comparison stands behind
    it and a bit needs its neighbours alone. Of many it counts in binary, since each of so many bits would
    load what changes the count.

    Parameters: ``limit``, at least 2.
    Members: ``issue``: one more, not while ``full``; ``finish``: one less; ``full``, ``none``: there are
    ``limit``, there are none (both registered).
    """

    def __init__(self, limit: int):
        self.limit = limit
        super().__init__({"issue": In(1), "finish": In(1), "full": Out(1), "none": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        more, fewer = self.issue & ~self.finish, self.finish & ~self.issue
        # Gates, not choices: those would become enables and resets, further nets behind what comes late.
        if self.limit >= MOST_LOADS:
            self._in_binary(m, more, fewer)
            return m
        above = Signal(self.limit)
        kept = above & (above[1:] | ~fewer.replicate(self.limit))
        m.d.sync += above.eq(kept | (more.replicate(self.limit) & Cat(Const(1, 1), above[:-1])))
        m.d.comb += [self.full.eq(above[-1]), self.none.eq(~above[0])]
        return m

    def _in_binary(self, m, more, fewer) -> None:
        """Ends in registers, and a count that lags a cycle: nothing late meets all of its bits."""
        came = Signal()
        went = Signal()
        lag = Signal(range(self.limit + 1))
        some, single, full, almost = (Signal(name=name) for name in ("some", "single", "full", "almost"))
        stays = ~more & ~fewer

        def moved(below, at, above):
            """One of them, by what came and went in the cycle before."""
            return Mux(came == went, at, Mux(came, below, above))

        def stands_at(number):
            """Whether there are so many now, more than 0 and fewer than all."""
            lagging = []
            for place in (number - 1, number, number + 1):
                flag = Signal(name=f"lag_{place}", init=place == 0)
                m.d.sync += flag.eq(moved(*(lag == place + step for step in (-1, 0, 1))))
                lagging.append(flag)
            return moved(*lagging)

        m.d.sync += [
            came.eq(more),
            went.eq(fewer),
            lag.eq(counted(lag, came, went)),
            some.eq(more | (some & ~(fewer & single))),
            single.eq((more & ~some) | (fewer & stands_at(2)) | (stays & single)),
            full.eq((more & almost) | (full & ~fewer)),
            almost.eq((more & stands_at(self.limit - 2)) | (fewer & full) | (stays & almost)),
        ]
        m.d.comb += [self.full.eq(full), self.none.eq(~some)]
