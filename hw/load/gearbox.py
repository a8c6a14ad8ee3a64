"""Turns 64-bit beats into groups: one word for each lane."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies

TURNS = 10
"""Beats of a group that ask one copy of ``beat_valid``, three times each."""


class Gearbox(wiring.Component):
    """Collects the beats of a group and hands out its words side by side.

    A group is always a whole number of beats, so a beat is taken every cycle whatever the word width; bits
    behind the last word are left out.

    Parameters: ``lanes``, ``word_bits``.
    Members: ``beat_valid``, ``beat`` (in); ``coming``, twice over, so that two can share its loads:
    ``words`` holds a complete group in the next cycle, and may be gone in the one after that.
    Latency `latency_cycles` from the last beat of a group: copies, selects, words.
    """

    latency_cycles = MACHINE.gearbox_cycles

    def __init__(self, lanes: int, word_bits: int):
        self.lanes, self.word_bits = lanes, word_bits
        self.group_beats = -(-lanes * word_bits // BEAT_BITS)
        super().__init__(
            {
                "beat_valid": In(1),
                "beat": In(BEAT_BITS),
                "coming": Out(1).array(2),
                "words": Out(word_bits).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self.group_beats
        # First step: copies, as every beat of a group takes the data and asks whether it is its turn.
        taken = copies(m, self.beat_valid, -(-count // TURNS), "taken")
        data = copies(m, self.beat, -(-count // MOST_LOADS), "data")
        # Second step: one of ``turn`` says whose turn it is; a beat has two selects, of 32 bits each.
        turn = Signal(count, init=1)
        later = [Signal(BEAT_BITS, name=f"later_{n}", reset_less=True, attrs=KEEP) for n in range(len(data))]
        m.d.sync += [after.eq(copy) for after, copy in zip(later, data, strict=True)]
        coming = copies(m, taken[-1] & turn[-1], len(self.coming), "coming", reset_less=False)
        m.d.comb += [out.eq(copy) for out, copy in zip(self.coming, coming, strict=True)]
        beats = []
        for n in range(count):
            mine = taken[n // TURNS]
            with m.If(mine):
                m.d.sync += turn[n].eq(turn[n - 1])
            beat = Signal(BEAT_BITS, name=f"beat_{n}", reset_less=True)
            for half, select in enumerate(copies(m, mine & turn[n], BEAT_BITS // MOST_LOADS, f"select_{n}")):
                part = slice(MOST_LOADS * half, MOST_LOADS * (half + 1))
                with m.If(select):
                    m.d.sync += beat[part].eq(later[n // MOST_LOADS][part])
            beats.append(beat)
        group = Cat(beats)[: self.lanes * self.word_bits]
        for lane, word in enumerate(self.words):
            m.d.comb += word.eq(group[lane * self.word_bits : (lane + 1) * self.word_bits])
        return m
