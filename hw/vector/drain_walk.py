"""Walks the result tiles of DRAIN: column sums, then a row a slot, a GRADIENT's in three."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import Code
from cpt.hw.layouts import result_rows
from cpt.hw.vector.walk import IN_WORDS_LOG2, Places, walk_members


class DrainWalk(wiring.Component):
    """A result tile is a unit: one group of channels of a tile of pixels.

    Parameters: ``words`` of scratch. Members: `walk_members`, whose ``go`` is always given; ``there``: a
    result tile is, and goes with ``begins``. With tiles there ``group + 1`` cycles a tile.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        super().__init__({**walk_members(config, words), "there": In(1)})

    def elaborate(self, platform):
        m = Module()
        at = Places(m, self, Code.DRAIN, "a_tiles")
        word, slot, settings = at.word, self.slot, at.settings
        m.d.comb += [at.decode.kind.eq(word.kind), at.decode.alone.eq(word.first)]

        rows = result_rows(self.config)
        second = Signal()
        """Which of the result buffer's tiles."""
        m.d.comb += [
            slot.row.eq(Mux(second, rows, 0) + at.inner),
            slot.frees.eq(at.ends["group"]),
            slot.ends.eq(at.ends["group"]),
        ]
        with m.If(settings.parts):
            inside = len(slot.out) - at.bank_bits
            for name in ("other", "out"):
                m.d.comb += getattr(slot, name).eq(Cat(at.places[name][:inside], at.part))

        wait = Signal(range(at.prepare_cycles + 1))
        with m.FSM():
            with m.State("EMPTY"):
                m.d.comb += [self.commands.ready.eq(self.empty), self.idle.eq(1)]
                with m.If(self.commands.valid & self.empty):
                    at.take()
                    m.d.sync += wait.eq(at.prepare_cycles)
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    stream = Mux(settings.parts, word.out, word.stream << IN_WORDS_LOG2)
                    at.load(
                        {"y": word.y, "other": stream, "mask": word.mask << IN_WORDS_LOG2, "out": word.out}
                    )
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(at.gate.open & self.there):
                at.begin()
                m.next = "SUMS"
            with m.State("SUMS"):
                m.d.comb += [
                    self.valid.eq(1),
                    slot.sums.eq(1),
                    *(flag.eq(0) for flag in (slot.final, slot.frees, slot.ends, slot.reads)),
                    slot.row.eq(Mux(second, 2 * rows - 1, rows - 1)),
                ]
                m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += self.valid.eq(1)
                at.advance()
                with m.If(at.ends["group"]):
                    m.d.sync += second.eq(~second)
                    with m.If(at.ends["all"]):
                        m.next = "EMPTY"
                    with m.Elif(at.gate.open & self.there):
                        at.begin()
                        m.next = "SUMS"
                    with m.Else():
                        m.next = "WAIT"
        return m
