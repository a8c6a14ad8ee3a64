"""Beats to words of scratch."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import KEEP, MOST_LOADS


class WordBuilder(wiring.Component):
    """Joins ``parts`` beats, the first one lowest, while the word before waits at the output.

    Parameters: ``parts``, at least 2. Members: ``i``, ``o``.
    A beat a cycle where words are taken at once and have more than two; three cycles from its last beat to a
    word.
    """

    latency_cycles = 3

    def __init__(self, parts: int):
        self.parts = parts
        super().__init__(
            {
                "i": In(stream.Signature(BEAT_BITS)),
                "o": Out(stream.Signature(parts * BEAT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = Signal(self.parts, init=1)
        """Which beat comes next, a bit each."""
        complete, take, move, loads = Signal(), Signal(), Signal(), Signal(attrs=KEEP)
        beat = Signal(BEAT_BITS, reset_less=True)
        m.d.comb += [
            move.eq(complete & ~self.o.valid & ~loads),
            self.i.ready.eq(~complete | move),
            take.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [
            beat.eq(self.i.payload),
            complete.eq((take & place[-1]) | (complete & ~move)),
            loads.eq(move),
            self.o.valid.eq(loads | (self.o.valid & ~self.o.ready)),
        ]
        with m.If(take):
            m.d.sync += place.eq(Cat(place[-1], place[:-1]))
        # Enables of their own for as many bits as one may reach. Whatever comes is written until a beat is
        # taken, and a word is copied before its first beat is replaced.
        for part in range(self.parts):
            for low in range(0, BEAT_BITS, MOST_LOADS):
                name = f"{part}_{low}"
                goes, stays = (Signal(name=f"{kind}_{name}", attrs=KEEP) for kind in ("goes", "stays"))
                some = Signal(MOST_LOADS, name=f"some_{name}", reset_less=True)
                held = self.o.payload[part * BEAT_BITS + low :][:MOST_LOADS]
                m.d.sync += [goes.eq(self.i.ready & place[part]), stays.eq(move)]
                with m.If(goes):
                    m.d.sync += some.eq(beat[low : low + MOST_LOADS])
                with m.If(stays):
                    m.d.sync += held.eq(some)
        return m
