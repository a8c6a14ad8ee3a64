"""Operand A of dW behind the bus: errors through the transposer into words of pixels."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.shown import Shown
from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.cutter import STREAM_BITS, Cutter
from cpt.hw.fetch.pixel_fill import PixelFill
from cpt.hw.fetch.pixel_rows import PixelRows, pixel_row, pixel_write
from cpt.hw.fetch.slots import slot_requests


class Errors(wiring.Component):
    """Data of a chunk of errors in address order in, writes of operand A's buffer out.

    A word is one row of a set of images: row ``r`` of the array is channel ``r`` of the group, and pixels of
    an image come when the image does. So a write serves all rows of the array, at one address, but a part of
    each word: a ninth, or half of one where a row of pixels is less. Ninths of images that a set lacks are
    written as zero first; the last ninth is never written, and the product leaves it out.

    Parameters: ``config``.
    Members: ``commands`` (`cpt.hw.fetch.command.load_errors`); ``words`` (in): what its runs hold;
    ``slots`` (`slot_requests`): a half of the buffer for each command; ``write`` (out, registered), of which
    `pixel_write` says the parts; ``loaded``: the chunk's last word is being written; ``idle``.
    A step of 8 pixels a cycle, a row every second cycle, of zeros too.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        depth = config.a_depth_words
        super().__init__(
            {
                "commands": In(stream.Signature(pixel_command(depth))),
                "words": In(stream.Signature(STREAM_BITS)),
                "slots": Out(slot_requests(depth)),
                "write": Out(pixel_write(config, depth)),
                "loaded": Out(1),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self.config, self.config.a_depth_words
        m.submodules.cutter = cutter = Cutter(config)
        m.submodules.fill = fill = PixelFill(config, depth)
        m.submodules.rows = rows = PixelRows(config, depth, copied=False)
        m.submodules.shown = shown = Shown(pixel_row(depth))
        connect(m, flipped(self.commands), fill.commands)
        connect(m, flipped(self.words), cutter.words)
        connect(m, cutter.steps, rows.pixels)
        connect(m, fill.rows, shown.i)
        connect(m, shown.o, rows.rows)
        connect(m, fill.slots, flipped(self.slots))
        # A chunk's mode stands until the next begins, which waits for its rows.
        command = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [rows.mode[name].eq(command[name]) for name in ("out_pitch", "blocks")]
        none = Signal()
        m.d.comb += [
            cutter.flush.eq(rows.flush),
            none.eq(rows.idle & ~shown.o.valid),
            fill.empty.eq(none),
            self.write.eq(rows.write),
            self.loaded.eq(rows.filled),
        ]
        m.d.sync += self.idle.eq(fill.idle & none)
        return m
