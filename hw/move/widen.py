"""Bytes in memory to numbers of 16 bits on chip."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import copies

_NUMBER_BITS, _BYTE_BITS = 16, 8


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
        widens = copies(m, self.bytes, BEAT_BITS // _NUMBER_BITS, "widens")
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(step & (upper | ~widens[0])),
        ]
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                upper.eq(widens[0] & (upper ^ self.i.valid)),
            ]
        for number, widen in enumerate(widens):
            part = self.i.payload.word_select(number, _NUMBER_BITS)
            byte = Mux(
                upper,
                self.i.payload.word_select(number + BEAT_BITS // _NUMBER_BITS, _BYTE_BITS),
                self.i.payload.word_select(number, _BYTE_BITS),
            )
            enable = Signal(name=f"enable_{number}")
            m.d.comb += enable.eq(step)
            with m.If(enable):
                m.d.sync += self.o.payload.word_select(number, _NUMBER_BITS).eq(Mux(widen, byte, part))
        return m
