"""Words of the memory stream to words of scratch."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP, MOST_LOADS


class WordBuilder(wiring.Component):
    """Joins ``parts`` of ``bits``, the first one lowest, while the word before waits at the output.

    Parameters: ``parts``, at least 2; ``bits``. Members: ``i``, ``o``.
    A part a cycle where words are taken at once and have more than two; three cycles from its last part to a
    word.
    """

    latency_cycles = 3

    def __init__(self, parts: int, bits: int):
        self.parts, self.bits = parts, bits
        super().__init__(
            {
                "i": In(stream.Signature(bits)),
                "o": Out(stream.Signature(parts * bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = Signal(self.parts, init=1)
        """Which part comes next, a bit each."""
        complete = Signal()
        take = Signal()
        move = Signal()
        loads = Signal(attrs=KEEP)
        given = Signal(self.bits, reset_less=True)
        m.d.comb += [
            move.eq(complete & ~self.o.valid & ~loads),
            self.i.ready.eq(~complete | move),
            take.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [
            given.eq(self.i.payload),
            complete.eq((take & place[-1]) | (complete & ~move)),
            loads.eq(move),
            self.o.valid.eq(loads | (self.o.valid & ~self.o.ready)),
        ]
        with m.If(take):
            m.d.sync += place.eq(Cat(place[-1], place[:-1]))
        # Enables of their own for as many bits as one may reach. Whatever comes is written until a part is
        # taken, and a word is copied before its first part is replaced.
        for part in range(self.parts):
            for low in range(0, self.bits, MOST_LOADS):
                name = f"{part}_{low}"
                goes, stays = (Signal(name=f"{kind}_{name}", attrs=KEEP) for kind in ("goes", "stays"))
                some = Signal(MOST_LOADS, name=f"some_{name}", reset_less=True)
                held = self.o.payload[part * self.bits + low :][:MOST_LOADS]
                m.d.sync += [goes.eq(self.i.ready & place[part]), stays.eq(move)]
                with m.If(goes):
                    m.d.sync += some.eq(given[low : low + MOST_LOADS])
                with m.If(stays):
                    m.d.sync += held.eq(some)
        return m
