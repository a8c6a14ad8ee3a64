"""Turns 64-bit beats into groups: one word for each lane."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE


class Gearbox(wiring.Component):
    """Collects the beats of a group and hands out its words side by side.

    A group is always a whole number of beats, so a beat is taken every cycle whatever the word width; bits
    behind the last word are left out.

    Parameters: ``lanes``, ``word_bits``.
    Members: ``beat_valid``, ``beat`` (in); ``valid``: ``words`` holds a complete group now (one cycle).
    Latency one cycle after the last beat of a group.
    """

    latency_cycles = MACHINE.gearbox_cycles

    def __init__(self, lanes: int, word_bits: int):
        self.lanes, self.word_bits = lanes, word_bits
        self.group_beats = -(-lanes * word_bits // (8 * BEAT_BYTES))
        super().__init__(
            {
                "beat_valid": In(1),
                "beat": In(64),
                "valid": Out(1),
                "words": Out(word_bits).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        index = Signal(range(max(2, self.group_beats)))
        beats = [Signal(64, name=f"beat_{n}", reset_less=True) for n in range(self.group_beats)]
        last = Signal()
        m.d.comb += last.eq(index == self.group_beats - 1)
        m.d.sync += self.valid.eq(self.beat_valid & last)
        with m.If(self.beat_valid):
            m.d.sync += index.eq(index + 1)
            with m.If(last):
                m.d.sync += index.eq(0)
            with m.Switch(index):
                for n, beat in enumerate(beats):
                    with m.Case(n):
                        m.d.sync += beat.eq(self.beat)
        group = Cat(beats)[: self.lanes * self.word_bits]
        for lane, word in enumerate(self.words):
            m.d.comb += word.eq(group[lane * self.word_bits : (lane + 1) * self.word_bits])
        return m
