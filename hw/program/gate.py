"""Holds an engine's units back until the marks that its instruction names are there."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.step import MARK_BITS
from cpt.hw.program.layouts import MARKS, WAITS


class Gate(wiring.Component):
    """Says when unit 0, 1, 2 .. of an instruction may start.

    Members: ``marks``: of all engines; ``load``: an instruction begins, with ``waits``, which must stay until
    the next; ``advance``: its next unit is asked for; ``open``: the unit asked for may start; it is low for
    `latency_cycles` - 1 cycles after ``load`` or ``advance`` at least.
    A mark is compared by the sign of a difference, so marks may be up to half their range apart.
    """

    latency_cycles = 3
    """Cycles from ``load`` or ``advance`` to ``open`` where the marks are there."""

    def __init__(self):
        super().__init__(
            {"marks": In(MARKS), "load": In(1), "waits": In(WAITS), "advance": In(1), "open": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        # A cycle each: the mark needed and the mark there, their difference, whether both are there.
        changed, stale = Signal(), Signal()
        m.d.comb += changed.eq(self.load | self.advance)
        m.d.sync += stale.eq(changed)
        passed = []
        for index in range(len(self.waits)):
            wait = self.waits[index]
            needed, there, difference = (
                Signal(MARK_BITS, name=f"{name}_{index}", reset_less=True)
                for name in ("needed", "there", "difference")
            )
            with m.If(self.load):
                m.d.sync += needed.eq(wait.first)
            with m.Elif(self.advance):
                m.d.sync += needed.eq(needed + wait.step)
            m.d.sync += [there.eq(self.marks[wait.engine]), difference.eq(there - needed)]
            passed.append((wait.engine == 0) | ~difference[-1])
        m.d.sync += self.open.eq(passed[0] & passed[1] & ~changed & ~stale)
        return m
