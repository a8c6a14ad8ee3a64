"""Where the columns' words of each block lie in the window memories."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS, TAPS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import COPIES
from cpt.hw.fetch.window_memory import HALVES
from cpt.hw.matrix.copies import copies
from cpt.hw.move.followers import flags_of, follow

ROW_WORDS = bits_for(MAX_BITS * COPIES)
"""Width of the words of a row where K runs along pixels."""
SHIFTS = 3
"""Rows, and columns, of a kernel."""
GROUPS = next(item.width for item in FORMATS[Code.EXEC_DW] if item.name == "groups")
_OFFSET_CYCLES = 2
"""From a tap to its words."""


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
        "blocks": 16,
        "pairs": GROUPS,
        "row_words": ROW_WORDS,
    }
)
"""Blocks of an EXEC, so many; or, ``pixels``, of an EXEC_DW: slots of a pair of groups each, with so many
words a row, every row or, ``stride2``, every second. ``single``: of one group, so that the halves take two
taps of it. ``own``: each tile of rows of an EXEC takes a K step.
"""


def _of_taps(number, at):
    """``number`` of a tap, or with bit 4 of ``at`` of the one behind it, as a table of two bits each."""
    taps = range(TAPS)
    table = sum(number(tap) << 2 * (tap - behind | behind << 4) for behind in (0, 1) for tap in taps[behind:])
    return Const(table, 64).word_select(at, 2)


class Blocks(wiring.Component):
    """Turns slots into blocks: one each, or all taps of what one holds.

    Parameters: ``config``.
    Members: ``plans`` (in), in order; ``tiles`` (in): first words of slots, as the fetch fills them;
    ``blocks`` (out): `block_layout`, in the order of EXEC, of EXEC_DW as `gradient_tiles` says; ``idle``: no
    plan is held.
    A block in three cycles, the first of a slot two cycles after it.
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
        # A plan, then the slots that it still wants, then whether the next of them is its last; they follow
        # each other in registers, a cycle each, and so do a tap and the words that it lies in.
        plan = Signal(PLAN, reset_less=True)
        vacant = flags_of(PLAN, "vacant")
        """``vacant``: there is none; so long it is loaded."""
        begun = Signal(2)
        left = Signal.like(plan.blocks, reset_less=True)
        final = Signal(reset_less=True)
        wants = Signal()
        base = Signal.like(self.tiles.payload, reset_less=True)
        has_slot = Signal()
        ends_plan = Signal(reset_less=True)
        tap = Signal(range(TAPS), reset_less=True)
        last_tap = Signal(reset_less=True)
        step = Mux(plan.single, HALVES, 1)
        offsets = [Signal.like(base, name=f"offset_{half}", reset_less=True) for half in range(HALVES)]
        moved = Signal(_OFFSET_CYCLES)
        gets_slot = Signal()
        issue = Signal()
        leaves = Signal()
        m.d.comb += [
            self.plans.ready.eq(vacant[0]),
            self.tiles.ready.eq(wants),
            gets_slot.eq(wants & self.tiles.valid),
            issue.eq(has_slot & ~moved.any() & ~self.blocks.valid),
            leaves.eq(issue & last_tap),
        ]
        (pixels,) = copies(m, plan.pixels, 1, "pixels")
        follow(m, plan, self.plans.payload, vacant)
        m.d.sync += [
            *(flag.eq(Mux(flag, ~self.plans.valid, leaves & ends_plan)) for flag in vacant),
            begun.eq(Cat(self.plans.valid & vacant[0], begun)),
            final.eq(left == 1),
            wants.eq(begun[-1] | (leaves & ~ends_plan) | (wants & ~self.tiles.valid)),
            has_slot.eq(gets_slot | (has_slot & ~leaves)),
            moved.eq(Cat(issue, moved)),
        ]
        with m.If(wants):
            m.d.sync += [base.eq(self.tiles.payload), ends_plan.eq(final)]
        with m.If(begun[0] | gets_slot):
            m.d.sync += left.eq(Mux(begun[0], Mux(plan.pixels, plan.pairs, plan.blocks), left - 1))

        # Of each half the tap at hand: its row and column.
        with m.If(begun[0] | issue):
            m.d.sync += tap.eq(Mux(begun[0] | last_tap, 0, tap + step))
        m.d.sync += last_tap.eq(~pixels | ~plan.kernel3 | (tap >= TAPS - step))
        for half, offset in enumerate(offsets):
            at = Cat(tap, half & plan.single)
            row, column = Signal(2, name=f"row_{half}"), Signal(2, name=f"column_{half}", reset_less=True)
            words = Signal(ROW_WORDS + 1, name=f"words_{half}", reset_less=True)
            once, twice = (row[bit].replicate(len(words)) for bit in range(2))
            m.d.comb += row.eq(Mux(plan.kernel3, _of_taps(lambda tap: tap // SHIFTS, at), 1))
            m.d.sync += [
                column.eq(Mux(plan.kernel3, _of_taps(lambda tap: tap % SHIFTS, at), 1)),
                words.eq((plan.row_words & once) | (plan.row_words << 1 & twice)),
                offset.eq(Mux(pixels, words + column, 0)),
            ]

        # What a block would be is there as long as none is.
        block = self.blocks.payload
        with m.If(~self.blocks.valid):
            m.d.sync += [
                block.releases.eq(last_tap),
                block.own.eq(plan.own),
                block.stride.eq(Mux(pixels, plan.row_words << plan.stride2, 1)),
                *(block.base[half].eq(base + offset) for half, offset in enumerate(offsets)),
            ]
        m.d.sync += self.blocks.valid.eq(issue | (self.blocks.valid & ~self.blocks.ready))
        m.d.comb += self.idle.eq(vacant[0])
        return m
