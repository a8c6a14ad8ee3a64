"""Bytes in memory to numbers of 16 bits on chip."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.layouts import BEAT_BITS


class Widen(wiring.Component):
    """Bytes to numbers of 16 bits: a beat becomes two; or beats as they are.

    Members: ``bytes``: whether they are widened; ``i``, ``o``.
    """

    def __init__(self):
        super().__init__(
            {
                "bytes": In(1),
                "i": In(stream.Signature(BEAT_BITS)),
                "o": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        upper, step = Signal(), Signal()
        half = Mux(upper, self.i.payload[BEAT_BITS // 2 :], self.i.payload[: BEAT_BITS // 2])
        wide = Cat(Cat(half.word_select(n, 8), Const(0, 8)) for n in range(BEAT_BITS // 16))
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(step & (upper | ~self.bytes)),
        ]
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                self.o.payload.eq(Mux(self.bytes, wide, self.i.payload)),
                upper.eq(self.bytes & (upper ^ self.i.valid)),
            ]
        return m
