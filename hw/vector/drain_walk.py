"""Walks the result tiles of DRAIN: column sums, then a row a slot, a GRADIENT's in three."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Code
from cpt.hw.layouts import result_rows
from cpt.hw.vector.walk import IN_WORDS_LOG2, Places, walk_members


class DrainWalk(wiring.Component):
    """A result tile is a unit: one group of channels of a tile of pixels.

    Parameters: ``words`` of scratch. Members: `walk_members`; ``there``: a result tile is, and goes with
    ``begins``; ``rests``: ``coming`` is low, a register. With tiles there ``group + 1`` cycles a tile.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        super().__init__({**walk_members(config, words), "there": In(1), "rests": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        at = Places(m, self, Code.DRAIN, "a_tiles")
        word, slot, settings, ends = at.word, self.slot, at.settings, at.ends
        m.d.comb += [
            at.decode.kind.eq(word.kind),
            at.decode.alone.eq(word.first),
            at.decode.keeps.eq(word.keeps),
            self.idle.eq(at.vacant),
        ]
        stream = Mux(settings.parts, word.out, word.stream << IN_WORDS_LOG2)
        at.place({"y": word.y, "other": stream, "mask": word.mask << IN_WORDS_LOG2, "out": word.out})

        rows = result_rows(self.config)
        sums = Signal()
        words = Signal()
        """The two states in which slots come, a register each."""
        start = Signal.like(slot.row)
        """Of the result buffer's tile."""
        row = Signal.like(slot.row, reset_less=True)
        m.d.sync += row.eq(start + Mux(sums, rows - 1, at.inner))
        m.d.comb += [slot.row.eq(row), self.working.eq(sums | words), self.coming.eq(self.working)]
        m.d.comb += [at.step.eq(words), at.flags.frees.eq(ends["group"]), at.flags.ends.eq(ends["group"])]
        # Sums begin at multiples of their words; of everything else there is but part 0.
        low = len(slot.part)
        for name in ("other", "out"):
            place = at.places[name]
            m.d.comb += getattr(slot, name).eq(Cat(place[:low] | slot.part, place[low:]))
        with m.If(sums):
            m.d.comb += [
                at.flags.sums.eq(1),
                *(flag.eq(0) for flag in (at.flags.final, at.flags.frees, at.flags.ends, at.flags.reads)),
            ]

        last = words & ends["group"]
        """Of a tile."""
        waiting = Signal()
        """A tile may begin, behind none."""
        follows = Signal()
        """With a tile's end another may begin."""
        begins = Signal()
        goes_on = sums | (words & ~ends["group"])
        may_begin = waiting | (words & follows)
        m.d.comb += begins.eq(at.gate.open & self.there & may_begin)
        m.d.sync += [
            waiting.eq(at.load | (~begins & may_begin)),
            follows.eq(at.group_after & ~at.last_all),
            sums.eq(begins),
            words.eq(goes_on),
            self.rests.eq(~(begins | goes_on)),
            at.ended.eq(0),
        ]
        with m.If(last):
            after = Mux(start == (MACHINE.step_result_tiles - 1) * rows, 0, start + rows)
            m.d.sync += start.eq(after)
        with m.If(begins):
            at.begin()
        with m.FSM():
            with m.State("EMPTY"), m.If(at.prepared):
                m.next = "PREPARED"
            with m.State("PREPARED"):
                m.d.comb += at.load.eq(1)
                m.next = "WORK"
            with m.State("WORK"), m.If(last & at.last_all):
                m.next = "OUT"
            with m.State("OUT"), m.If(self.early):
                m.d.sync += at.ended.eq(1)
                m.next = "EMPTY"
        return m
