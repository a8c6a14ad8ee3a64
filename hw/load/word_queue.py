"""Words of runs for one who may not take them at once."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.shown import Shown
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import MOST_LOADS, copies

WORD_BEATS = STREAM_BYTES // BEAT_BYTES


class WordQueue(wiring.Component):
    """Lets runs through that it has room for; their beats, of one port, come back as words.

    Members: ``asked`` (in), ``runs`` (out): whole words each, not longer than `MACHINE.reader_words`;
    ``beat_valid``, ``beat``: what they bring, as it comes; ``words`` (out): two beats each.
    A run in four cycles, a beat a cycle, and a word every second one.
    """

    def __init__(self):
        super().__init__(
            {
                "asked": In(stream.Signature(RUN)),
                "runs": Out(stream.Signature(RUN)),
                "beat_valid": In(1),
                "beat": In(BEAT_BITS),
                "words": Out(stream.Signature(STREAM_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = MACHINE.reader_words
        m.submodules.queue = queue = WideQueue(STREAM_BITS, depth)
        m.submodules.shown = shown = Shown(STREAM_BITS)
        connect(m, queue.o, shown.i)
        connect(m, shown.o, flipped(self.words))

        # A run passes when there is room for all of it; what is known of the run before is out of date.
        size = Signal(range(depth + 1))
        free = Signal(range(depth + 1), init=depth)
        change = Signal(signed(len(free) + 1))
        passes = Signal()
        settled = Signal(2)
        fits = Signal()
        taken = Signal()
        m.d.comb += [
            size.eq(self.asked.payload.beats[WORD_BEATS.bit_length() - 1 :]),
            self.runs.payload.eq(self.asked.payload),
            self.runs.valid.eq(settled[-1] & fits),
            passes.eq(self.runs.valid & self.runs.ready),
            self.asked.ready.eq(passes),
        ]
        waits = self.asked.valid & ~passes
        m.d.sync += [
            settled.eq(Cat(waits, settled[0] & waits)),
            fits.eq(free >= size),
            taken.eq(queue.o.valid & queue.o.ready),
            change.eq(taken - Mux(passes, size, 0)),
            free.eq(free + change),
        ]

        odd = Signal()
        beat, low = (Signal(BEAT_BITS, name=name, reset_less=True) for name in ("beat_later", "low"))
        m.d.sync += [odd.eq(odd ^ self.beat_valid), beat.eq(self.beat)]
        firsts = copies(m, self.beat_valid & ~odd, BEAT_BITS // MOST_LOADS, "first")
        for number, first in enumerate(firsts):
            part = slice(MOST_LOADS * number, MOST_LOADS * (number + 1))
            with m.If(first):
                m.d.sync += low[part].eq(beat[part])
        whole = copies(m, self.beat_valid & odd, PUSHES, "whole", reset_less=False)
        m.d.comb += [queue.push.eq(Cat(whole)), queue.payload.eq(Cat(low, beat))]
        return m
