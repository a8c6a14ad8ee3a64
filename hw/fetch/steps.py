"""Joins rows and pixels: one block of 8 pixels, or a row of zeros, a cycle."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import step_bits
from cpt.hw.fetch.command import ROWS_WIDTH, row_layout, step_layout
from cpt.hw.fetch.window_memory import SHIFTS


class Steps(wiring.Component):
    """Cuts rows into steps.

    Parameters: ``config``.
    Members: ``rows``, ``pixels`` (in); ``flush``: the pixels that are taken now are the last of their run;
    ``valid``, ``step`` (out, registered); ``idle``: no step is on its way.
    A step a cycle.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(row_layout(config))),
                "pixels": In(stream.Signature(step_bits(config))),
                "flush": Out(1),
                "valid": Out(1),
                "step": Out(step_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row, step = self.rows.payload, self.step
        block = Signal(ROWS_WIDTH)
        shift = Signal(range(2 * 4 + 1))
        """Quads that the blocks before this one take."""
        first, last, take = Signal(), Signal(), Signal()
        shifts = Signal()
        """A pixel of a tile belongs to windows of the ones beside it."""
        # A spread row of at most 4 pixels: every row of outputs is 8 columns, but wires are those of 16.
        narrow = row.spread & (row.out_pitch == 0)
        size, pixels = step_bits(self.config), self.pixels.payload
        low = pixels[: size // 2]
        m.d.comb += [
            shifts.eq(~(row.stride2 | row.spread | row.kernel1)),
            first.eq(block == 0),
            last.eq(row.zero | (block == row.blocks - 1)),
            take.eq(self.rows.valid & (row.zero | self.pixels.valid)),
            self.pixels.ready.eq(self.rows.valid & ~row.zero),
            self.rows.ready.eq(take & last),
            self.flush.eq(row.flush & last),
        ]
        m.d.sync += self.valid.eq(take)
        with m.If(take):
            m.d.sync += [
                block.eq(Mux(last, 0, block + 1)),
                shift.eq(Mux(last, 0, shift + Mux(row.spread, 4, Mux(row.stride2, 1, 2)))),
                step.pixels.eq(Mux(row.zero, Const(0, size), Mux(narrow, Cat(low, low), pixels))),
                step.starts.eq(row.zero | (first & row.starts)),
                step.ends.eq(row.zero | (last & row.ends)),
                step.over.eq(last & ~row.zero & ~row.ends & shifts),
                step.under.eq(first & ~row.zero & ~row.starts & shifts),
                *(step.hot[n].eq(row.hot[n] << shift) for n in range(SHIFTS)),
                *(
                    step[name].eq(row[name])
                    for name in (
                        "kernel1",
                        "stride2",
                        "spread",
                        "out_pitch",
                        "dx",
                        "addr",
                        "addr_first",
                        "addr_last",
                    )
                ),
            ]
        m.d.sync += step.done.eq(Mux(take & last, row.done, 0))
        return m
