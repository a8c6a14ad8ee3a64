"""Cuts long runs in two or four, so that there is room for the next part while one is on its way."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.layouts import RUN
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

WORD_BITS = STREAM_BYTES.bit_length() - 1
_BEAT_BITS = WORD_BITS - (BEAT_BYTES.bit_length() - 1)
_SIZE_BITS = MACHINE.reader_words.bit_length()


def parts(words: int) -> int:
    """In how many parts a run of ``words`` goes: in halves, then quarters, while they are longer than
    `MACHINE.piece_words` and whole words."""
    count = 1
    while count < 4 and words > count * MACHINE.piece_words and words % (2 * count) == 0:
        count *= 2
    return count


class Pieces(wiring.Component):
    """Passes runs on in `parts` of equal size.

    Members: ``runs`` (in): whole words, not more than `MACHINE.reader_words`; ``pieces`` (out); ``idle``: no
    run is here.
    A run comes out `latency_cycles` after it was taken, its further parts two cycles after one passed.
    """

    latency_cycles = 3

    def __init__(self):
        super().__init__(
            {"runs": In(stream.Signature(RUN)), "pieces": Out(stream.Signature(RUN)), "idle": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        given = self.runs.payload
        size = Signal(_SIZE_BITS, reset_less=True)
        address, following = (
            Signal(RUN["addr"].shape, name=name, reset_less=True) for name in ("address", "following")
        )
        loads = -(-len(address) // MOST_LOADS)
        # The first answers, the others load parts of the registers; a step is known a cycle before it is one.
        vacant = [Signal(name=f"vacant_{n}", init=1, attrs=KEEP) for n in range(loads + 2)]
        steps = [Signal(name=f"step_{n}", attrs=KEEP) for n in range(loads + 1)]
        taken = Signal()
        passed = Signal()
        left = Signal(2, reset_less=True)
        """Parts behind the one that is offered."""
        m.d.comb += [
            self.runs.ready.eq(vacant[0]),
            self.idle.eq(vacant[0] & ~self.runs.valid),
            taken.eq(self.runs.valid & vacant[0]),
            passed.eq(self.pieces.valid & self.pieces.ready),
            self.pieces.payload.addr.eq(address),
        ]
        m.d.sync += [
            *(flag.eq(Mux(vacant[0], ~self.runs.valid, passed & (left == 0))) for flag in vacant),
            *(flag.eq(passed & (left != 0)) for flag in steps),
        ]
        for n in range(loads):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            with m.If(vacant[1 + n]):
                m.d.sync += address[part].eq(given.addr[part])
            with m.Elif(steps[n]):
                m.d.sync += address[part].eq(following[part])
        with m.If(vacant[-1]):
            m.d.sync += size.eq(given.beats[_BEAT_BITS:])

        # Two cycles until the size of a part is known, one more to the address behind it.
        halves = Signal(reset_less=True)
        quarters = Signal(reset_less=True)
        piece = Signal(_SIZE_BITS, reset_less=True)
        looked = Signal(2)
        m.d.sync += [
            halves.eq((size > MACHINE.piece_words) & ~size[0]),
            quarters.eq((size > 2 * MACHINE.piece_words) & ~size[:2].any()),
            looked.eq(Cat(taken, looked)),
            following.eq(address + Cat(Const(0, WORD_BITS), piece)),
        ]
        with m.If(looked[-1]):
            m.d.sync += [
                piece.eq(Mux(quarters, size >> 2, Mux(halves, size >> 1, size))),
                left.eq(Cat(halves, quarters)),
            ]
        with m.Elif(passed):
            m.d.sync += left.eq(left - 1)
        m.d.comb += self.pieces.payload.beats.eq(piece << _BEAT_BITS)
        m.d.sync += self.pieces.valid.eq(looked[-1] | steps[-1] | (self.pieces.valid & ~passed))
        return m
