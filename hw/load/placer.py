"""Where groups of words go in an operand buffer."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract.machine import MACHINE


class Placer(wiring.Component):
    """Addresses of groups as they come, said a cycle before they are there; blocks take halves in turn.

    Parameters: ``half_words`` of the buffer.
    Members: ``blocks`` (in): words - 1 of every block that begins, always ready; ``coming``: a group comes
    now; ``addr``: where it goes; ``loaded``: it was, a cycle before, the last of its block; ``skip``: a half
    is filled otherwise, while no block is under way.
    """

    def __init__(self, half_words: int):
        self.half_words = half_words
        super().__init__(
            {
                "blocks": In(stream.Signature(bits_for(half_words))),
                "coming": In(1),
                "skip": In(1),
                "addr": Out(range(MACHINE.halves * half_words)),
                "loaded": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Blocks take the halves in turn, on both sides; what is missing of each is counted, so that the last
        # word is known.
        half_bits = (self.half_words - 1).bit_length()
        word = Signal(half_bits)
        half = Signal()
        begins = Signal()
        last = Signal()
        m.d.comb += self.blocks.ready.eq(1)
        m.d.sync += begins.eq(begins ^ (self.blocks.valid | self.skip))
        lasts = []
        for number in range(MACHINE.halves):
            missing = Signal(half_bits, name=f"missing_{number}", reset_less=True)
            at_last = Signal(name=f"at_last_{number}", reset_less=True)
            with m.If(self.blocks.valid & (begins == number)):
                m.d.sync += [
                    missing.eq(self.blocks.payload),
                    at_last.eq(self.blocks.payload == 0),
                ]
            with m.Elif(self.coming & (half == number)):
                m.d.sync += [missing.eq(missing - 1), at_last.eq(missing == 1)]
            lasts.append(at_last)
        m.d.comb += [last.eq(Mux(half, lasts[1], lasts[0])), self.addr.eq(Cat(word, half))]
        m.d.sync += [
            self.loaded.eq(self.coming & last),
            half.eq(half ^ ((self.coming & last) | self.skip)),
        ]
        with m.If(self.coming):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return m
