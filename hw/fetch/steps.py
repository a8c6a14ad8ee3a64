"""Joins rows and pixels: one block of 8 pixels, or a row of zeros, a cycle."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import step_bits
from cpt.hw.fetch.command import MODE, ROWS_WIDTH, row_layout, step_layout
from cpt.hw.fetch.window_memory import SHIFTS
from cpt.hw.matrix.copies import MOST_LOADS, copies

SIDES = ("starts", "ends", "over", "under")


class Steps(wiring.Component):
    """Cuts rows into steps.

    Parameters: ``config``.
    Members: ``mode``; ``rows``, ``pixels`` (in); ``flush``: the pixels that are taken now are the last of
    their run; ``step`` (out).
    A step a cycle, `latency_cycles` from pixels that are taken to their step.
    """

    latency_cycles = MACHINE.steps_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "mode": In(MODE),
                "rows": In(stream.Signature(row_layout(config))),
                "pixels": In(stream.Signature(step_bits(config))),
                "flush": Out(1),
                "step": Out(step_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size = step_bits(self.config)
        row, step = self.rows.payload, self.step

        # What stands while a command fills.
        one_block, two_blocks, shares_first, shares_last = (
            Signal(name=name) for name in ("one_block", "two_blocks", "shares_first", "shares_last")
        )
        """``shares_first``: the first pixel of a tile belongs to windows of the one before it too;
        ``shares_last``: the last one to those of the one behind."""
        mode = Signal(MODE)
        m.d.sync += [
            mode.eq(self.mode),
            one_block.eq(mode.blocks == 1),
            two_blocks.eq(mode.blocks == 2),
            shares_first.eq(~(mode.stride2 | mode.kernel1)),
            shares_last.eq(~(mode.stride2 | mode.spread | mode.kernel1)),
        ]
        # A spread row of at most 4 pixels: every row of outputs is 8 columns, but wires are those of 16.
        narrow = copies(m, mode.spread & (mode.out_pitch == 0), -(-size // MOST_LOADS), "narrow")

        # First register: which block, and which columns it goes to.
        first = Signal(init=1)
        at_end = Signal()
        left = Signal(ROWS_WIDTH)
        """``at_end``: the next block of a row with pixels is its last."""
        last = Signal()
        take = Signal()
        m.d.comb += [
            last.eq(row.zero | at_end),
            take.eq(self.rows.valid & (row.zero | self.pixels.valid)),
            self.pixels.ready.eq(self.rows.valid & ~row.zero),
            # Each from registers at once, not one by the other: what shows rows and words follows.
            self.rows.ready.eq(row.zero | (self.pixels.valid & at_end)),
            self.flush.eq(row.flush & at_end),
        ]
        with m.If(take):
            m.d.sync += [
                first.eq(last),
                at_end.eq(Mux(last, one_block, Mux(first, two_blocks, left == 2))),
                left.eq(Mux(first, mode.blocks - 1, left - 1)),
            ]
        with m.Elif(first):
            m.d.sync += at_end.eq(one_block)
        block = Signal(step_layout(self.config), reset_less=True)
        sides = {
            "starts": row.zero | (first & row.starts),
            "ends": row.zero | (last & row.ends),
            "over": last & ~row.ends & ~row.zero & shares_last,
            "under": first & ~row.starts & ~row.zero & shares_first,
        }
        for name, value in sides.items():
            m.d.sync += block[name].eq(value)
        zero = copies(m, row.zero, -(-size // MOST_LOADS), "zero")
        m.d.sync += [
            block.pixels.eq(self.pixels.payload),
            block.done.eq(Mux(take & last, row.done, 0)),
            block.dx[0].eq(row.dx),
        ]
        for dy in range(SHIFTS):
            rest = Signal.like(row.hot[dy], name=f"rest_{dy}")
            now = Signal.like(row.hot[dy], name=f"now_{dy}")
            m.d.comb += now.eq(Mux(first, row.hot[dy], rest))
            with m.If(take):
                m.d.sync += rest.eq(Mux(mode.spread, now << 4, Mux(mode.stride2, now << 1, now << 2)))
            m.d.sync += [
                block.hot[dy].eq(Mux(take, now, 0)),
                *(block[name][dy].eq(row[name][dy]) for name in ("addr", "addr_first", "addr_last")),
            ]

        # Second register: pixels and zeros, and a copy of what all columns ask for each dy.
        low = block.pixels[: size // 2]
        turned = Cat(low, low)
        for n, (is_zero, is_narrow) in enumerate(zip(zero, narrow, strict=True)):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            value = Mux(is_narrow, turned[part], block.pixels[part])
            m.d.sync += step.pixels[part].eq(Mux(is_zero, 0, value))
        m.d.sync += [
            step[name].eq(block[name]) for name in ("hot", "addr", "addr_first", "addr_last", "done")
        ]
        for name in SIDES:
            for dy, side in enumerate(copies(m, block[name][0], SHIFTS, name)):
                m.d.comb += step[name][dy].eq(side)
        for dy, taps in enumerate(copies(m, block.dx[0], SHIFTS, "dx")):
            m.d.comb += step.dx[dy].eq(taps)
        return m
