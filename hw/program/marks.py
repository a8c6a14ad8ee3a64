"""What each engine has finished since the list began."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.step import Engine
from cpt.hw.program.layouts import MARKS


class Marks(wiring.Component):
    """A counter for every engine.

    Members: ``finished``: engine n has finished a unit now; ``clear``: a list begins, and all engines are
    idle; ``marks``: a cycle later.
    """

    finished: In(max(Engine) + 1)
    clear: In(1)
    marks: Out(MARKS)

    def elaborate(self, platform):
        m = Module()
        for engine in Engine:
            mark = Signal.like(self.marks[engine], name=f"mark_{engine.name.lower()}")
            m.d.comb += self.marks[engine].eq(mark)
            with m.If(self.clear):
                m.d.sync += mark.eq(0)
            with m.Elif(self.finished[engine]):
                m.d.sync += mark.eq(mark + 1)
        return m
