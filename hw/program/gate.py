"""Holds an engine's units back until the marks that its instruction names are there."""

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.step import MARK_BITS
from cpt.hw.matrix.copies import copies
from cpt.hw.program.layouts import MARKS, WAITS

PIECES = 4
"""Of a mark, that are chosen by copies of the engine's number."""


class Gate(wiring.Component):
    """Says when unit 0, 1, 2 .. of an instruction may start.

    Members: ``marks``: of all engines; ``load``: an instruction begins, with ``waits``, which must stay until
    the next; ``advance``: its next unit is asked for; ``open``: the unit asked for may start; it is low for
    `latency_cycles` - 1 cycles after ``load`` or ``advance`` at least.
    Parameters: ``once``: instructions are one unit each, and nothing is asked for with ``advance``.
    A mark is compared by the sign of a difference, so marks may be up to half their range apart.
    """

    latency_cycles = 4
    """Cycles from ``load`` or ``advance`` to ``open`` where the marks are there."""

    def __init__(self, *, once: bool = False):
        self.once = once
        super().__init__(
            {"marks": In(MARKS), "load": In(1), "waits": In(WAITS), "advance": In(1), "open": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        # A cycle each: what changes, the mark needed and the mark there, their difference, whether both are
        # there. A copy of what loads registers for each wait.
        changed = Signal()
        stale = Signal(2)
        m.d.comb += changed.eq(self.load | (0 if self.once else self.advance))
        m.d.sync += stale.eq(Cat(changed, stale))
        loads = copies(m, self.load, len(self.waits), "load")
        advances = [] if self.once else copies(m, self.advance, len(self.waits), "advance")
        passed = []
        for index, load in enumerate(loads):
            wait = self.waits[index]
            needed, there, difference = (
                Signal(MARK_BITS, name=f"{name}_{index}", reset_less=True)
                for name in ("needed", "there", "difference")
            )
            engines = copies(m, wait.engine, PIECES, f"engine_{index}")
            with m.If(load):
                m.d.sync += needed.eq(wait.first)
            if not self.once:
                with m.Elif(advances[index]):
                    m.d.sync += needed.eq(needed + wait.step)
            bits = MARK_BITS // PIECES
            for n, engine in enumerate(engines):
                part = slice(n * bits, (n + 1) * bits)
                marks = Array(mark[part] for mark in self.marks)
                m.d.sync += there[part].eq(marks[engine])
            m.d.sync += difference.eq(there - needed)
            passed.append((engines[0] == 0) | ~difference[-1])
        m.d.sync += self.open.eq(passed[0] & passed[1] & ~changed & ~stale.any())
        return m
