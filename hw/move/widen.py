"""Bytes in memory to numbers of 16 bits on chip."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.control.queue import Queue
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import KEEP, copies

_NUMBER_BITS, _BYTE_BITS = 16, 8
_NUMBERS = BEAT_BITS // _NUMBER_BITS


class Widen(wiring.Component):
    """Bytes to numbers of 16 bits: a beat becomes two; or beats as they are.

    Members: ``bytes``: whether they are widened; ``i``, ``o``. A cycle from one to the other; registers say
    whether either is ready or valid.
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
        m.submodules.queue = queue = Queue(BEAT_BITS, 2)
        connect(m, queue.o, flipped(self.o))
        widens = copies(m, self.bytes, _NUMBERS, "widens")
        upper = [Signal(name=f"upper_{n}", attrs=KEEP) for n in range(2)]
        """The beat's upper bytes are next."""
        step = Signal()
        m.d.comb += [
            step.eq(self.i.valid & queue.i.ready),
            queue.i.valid.eq(self.i.valid),
            self.i.ready.eq(queue.i.ready & (upper[0] | ~widens[0])),
        ]
        m.d.sync += [flag.eq(widens[0] & (flag ^ step)) for flag in upper]
        for number, widen in enumerate(widens):
            byte = Mux(
                upper[number % 2],
                self.i.payload.word_select(number + _NUMBERS, _BYTE_BITS),
                self.i.payload.word_select(number, _BYTE_BITS),
            )
            same = self.i.payload.word_select(number, _NUMBER_BITS)
            m.d.comb += queue.i.payload.word_select(number, _NUMBER_BITS).eq(Mux(widen, byte, same))
        return m
