"""Where the columns' words of each block lie in the window memories."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS, TAPS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import COPIES
from cpt.hw.fetch.window_memory import HALVES

ROW_WORDS = bits_for(MAX_BITS * COPIES)
"""Width of the words of a row where K runs along pixels."""
SHIFTS = 3
"""Rows, and columns, of a kernel."""
GROUPS = next(item.width for item in FORMATS[Code.EXEC_DW] if item.name == "groups")


OWN_BITS = next(item.width for item in FORMATS[Code.EXEC] if item.name == "kstep")
"""Width of a K step that a tile of rows takes for itself."""


def block_layout(config: ArrayConfig) -> data.StructLayout:
    """A block of columns: by half of the columns its first word; words from one K step to the next; whether
    its slot is done with after it; whether each tile of rows has its ``own`` K step.
    """
    base = unsigned(bits_for(config.b_depth_words - 1))
    return data.StructLayout(
        {"base": data.ArrayLayout(base, HALVES), "stride": ROW_WORDS + 1, "releases": 1, "own": 1}
    )


PLAN = data.StructLayout(
    {
        **dict.fromkeys(("pixels", "kernel3", "single", "stride2", "own"), 1),
        "kstep": OWN_BITS,
        "blocks": 16,
        "pairs": GROUPS,
        "row_words": ROW_WORDS,
    }
)
"""Blocks of an EXEC, so many; or, ``pixels``, of an EXEC_DW: slots of a pair of groups each, with so many
words a row, every row or, ``stride2``, every second. ``single``: of one group, so that the halves take two
taps of it. ``own``: each tile of rows of an EXEC takes a K step, the first one ``kstep``.
"""


class Blocks(wiring.Component):
    """Turns slots into blocks: one each, or all taps of what one holds.

    Parameters: ``config``.
    Members: ``plans`` (in), in order; ``tiles`` (in): first words of slots, as the fetch fills them;
    ``blocks`` (out): `block_layout`, in the order of EXEC, of EXEC_DW as `gradient_tiles` says; ``idle``: no
    plan is held.
    A block in two cycles at most.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "plans": In(stream.Signature(PLAN)),
                "tiles": In(stream.Signature(range(config.b_depth_words))),
                "blocks": Out(stream.Signature(block_layout(config))),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, held = Signal(PLAN, reset_less=True), Signal()
        left = Signal.like(plan.blocks, reset_less=True)
        base = Signal.like(self.tiles.payload, reset_less=True)
        has_slot = Signal()
        # Of each half the tap at hand: its row and column; a slot's first and last.
        step = Mux(plan.single, HALVES, 1)
        tap = Signal(range(TAPS + HALVES))
        row_of, column_of = [], []
        for half in range(HALVES):
            number = tap + (half if half else 0) * plan.single
            row_of.append(Mux(number >= 6, 2, Mux(number >= 3, 1, 0)))
            column_of.append(number - Mux(number >= 6, 6, Mux(number >= 3, 3, 0)))
        offsets = [Signal.like(base, name=f"offset_{half}", reset_less=True) for half in range(HALVES)]
        last, settled = Signal(), Signal()
        taken, needs_slot, gets_slot = Signal(), Signal(), Signal()
        m.d.comb += [
            self.plans.ready.eq(~held),
            needs_slot.eq(held & ~has_slot & ~self.blocks.valid & (left != 0)),
            self.tiles.ready.eq(needs_slot),
            gets_slot.eq(needs_slot & self.tiles.valid),
            taken.eq(self.blocks.valid & self.blocks.ready),
            last.eq(~plan.pixels | ~plan.kernel3 | (tap + step >= TAPS)),
        ]
        with m.If(~held):
            m.d.sync += plan.eq(self.plans.payload)
            m.d.sync += left.eq(
                Mux(self.plans.payload.pixels, self.plans.payload.pairs, self.plans.payload.blocks)
            )
        with m.If(gets_slot):
            m.d.sync += [base.eq(self.tiles.payload), has_slot.eq(1), tap.eq(0), settled.eq(0)]

        # A cycle for the offsets of the tap, one for the words.
        for half, offset in enumerate(offsets):
            row = Mux(plan.kernel3, row_of[half], 1)
            column = Mux(plan.kernel3, column_of[half], 1)
            words = Mux(row[0], plan.row_words, 0) + Mux(row[1], plan.row_words << 1, 0)
            m.d.sync += offset.eq(Mux(plan.pixels, words + column, plan.kstep))
        with m.If(has_slot & ~settled & ~self.blocks.valid):
            m.d.sync += settled.eq(1)
        with m.If(settled & ~self.blocks.valid):
            m.d.sync += [
                self.blocks.valid.eq(1),
                self.blocks.payload.releases.eq(last),
                self.blocks.payload.own.eq(plan.own),
                self.blocks.payload.stride.eq(
                    Mux(plan.pixels, Mux(plan.stride2, plan.row_words << 1, plan.row_words), 1)
                ),
                *(self.blocks.payload.base[half].eq(base + offset) for half, offset in enumerate(offsets)),
                tap.eq(tap + step),
                settled.eq(0),
                has_slot.eq(~last),
            ]
            with m.If(last):
                m.d.sync += left.eq(left - 1)
        with m.If(taken):
            m.d.sync += self.blocks.valid.eq(0)
        with m.If(~held):
            m.d.sync += held.eq(self.plans.valid)
        with m.Elif(~has_slot & ~self.blocks.valid & (left == 0)):
            m.d.sync += held.eq(0)
        m.d.comb += self.idle.eq(~held)
        return m
