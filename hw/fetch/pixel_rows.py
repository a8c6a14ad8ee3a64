"""Rows of pixels along K: collected, and written three times, shifted by a pixel each."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import COPIES, FILL_PIXELS, PIECES, step_bits
from cpt.hw.fetch.command import ROWS_WIDTH
from cpt.hw.fetch.window_memory import HALVES, write_parts


def pixel_row(depth: int) -> data.StructLayout:
    """Where a row of an image goes: ``addr`` of its first copy, first ``piece`` and, where a row is less than
    one, ``part`` of it; ``halves`` of the columns; ``wanted``: it is written at all; ``zero``: one write of
    zeros into every piece at ``addr`` that takes no pixels; ``flush``: the last of a run; ``done``: the slot
    is complete with it. ``blocks`` of pixels, output rows of ``8 << out_pitch``."""
    return data.StructLayout(
        {
            "stride2": 1,
            "blocks": ROWS_WIDTH,
            "out_pitch": 2,
            "addr": (depth - 1).bit_length(),
            "piece": PIECES,
            "part": 1,
            "halves": HALVES,
            "wanted": 1,
            "zero": 1,
            "flush": 1,
            "done": 1,
        }
    )


def pixel_write(config: ArrayConfig, depth: int) -> data.StructLayout:
    """A write into the window memories, or operand A's: pieces of ``g`` pixels by channel, at one address of
    the memories of ``piece``, in some ``halves`` and ``parts``."""
    group = config.group_channels
    return data.StructLayout(
        {
            "data": data.ArrayLayout(group, group),
            "addr": (depth - 1).bit_length(),
            "piece": PIECES,
            "halves": HALVES,
            "parts": write_parts(config),
        }
    )


class PixelRows(wiring.Component):
    """Turns steps (8 pixels of all channels) into pieces (``g`` pixels of a channel, for every channel).

    A row is collected while the one before is written: a step a cycle against three writes for each piece
    that a row begins.

    Parameters: ``config``; ``depth`` of the memory in words; ``copied``: a row is written three times, else
    once as it is.
    Members: ``rows``, ``pixels`` (in); ``flush``: as in `Steps`; ``valid``, ``write`` (out, registered);
    ``filled``: a slot's last word was written, in the cycle after; ``idle``: nothing is held.
    """

    def __init__(self, config: ArrayConfig, depth: int, *, copied: bool = True):
        self.config, self.depth, self.copied = config, depth, copied
        super().__init__(
            {
                "rows": In(stream.Signature(pixel_row(depth))),
                "pixels": In(stream.Signature(step_bits(config))),
                "flush": Out(1),
                "valid": Out(1),
                "write": Out(pixel_write(config, depth)),
                "filled": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        group, cols = config.group_channels, config.cols
        size = step_bits(config)
        most = cols // FILL_PIXELS
        row, depth = self.rows.payload, self.depth
        more = COPIES - 1 if self.copied else 0
        """Copies behind the first."""

        # Collect: blocks of a row side by side; the row's place stands beside them.
        blocks = [Signal(size, name=f"block_{n}") for n in range(most)]
        block = Signal(ROWS_WIDTH)
        held = Signal(pixel_row(depth))
        full = Signal()
        take, last, load = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(row.zero | (block == row.blocks - 1)),
            take.eq(self.rows.valid & (row.zero | self.pixels.valid) & (~full | load)),
            self.pixels.ready.eq(self.rows.valid & ~row.zero & (~full | load)),
            self.rows.ready.eq(take & last),
            self.flush.eq(row.flush & last),
        ]
        with m.If(load):
            m.d.sync += full.eq(0)
        with m.If(take):
            m.d.sync += [block.eq(Mux(last, 0, block + 1)), held.eq(row), full.eq(last)]
            for n, item in enumerate(blocks):
                with m.If(block == n):
                    m.d.sync += item.eq(self.pixels.payload)
                with m.Elif(block == 0):
                    m.d.sync += item.eq(0)
            with m.If(row.zero):
                m.d.sync += [item.eq(0) for item in blocks]

        # Write: the row moves by a pixel for each copy, so that the same wires serve all.
        active = Signal()
        now = Signal(pixel_row(depth))
        copies_left, pieces_left = Signal(range(COPIES)), Signal(1)
        pixels = [Signal(group, name=f"at_{n}") for n in range(cols + 1)]
        end = Signal()
        m.d.comb += [
            end.eq(active & (copies_left == 0) & (pieces_left == 0)),
            load.eq(full & (~active | end)),
            self.idle.eq(~active & ~full),
        ]
        pieces = Signal()
        """A row begins two pieces."""
        m.d.comb += pieces.eq((8 << now.out_pitch) > group)
        with m.If(active & (pieces_left == 0) & (copies_left != 0)):
            m.d.sync += [
                copies_left.eq(copies_left - 1),
                pieces_left.eq(pieces),
                *(pixel.eq(after) for pixel, after in zip(pixels, [*pixels[1:], 0], strict=True)),
            ]
        with m.Elif(active & (pieces_left != 0)):
            m.d.sync += pieces_left.eq(0)
        with m.If(end):
            m.d.sync += active.eq(0)
        with m.If(load):
            m.d.sync += [
                active.eq(held.wanted | held.done),
                now.eq(held),
                copies_left.eq(Mux(held.zero | ~held.wanted, 0, more)),
                pieces_left.eq(Mux(held.zero | ~held.wanted, 0, (8 << held.out_pitch) > group)),
                pixels[0].eq(0),
            ]
            flat = Cat(blocks)
            before = int(self.copied)
            m.d.sync += [pixels[n + before].eq(flat[n * group : (n + 1) * group]) for n in range(cols)]

        write = self.write
        high = Signal()
        m.d.comb += high.eq(pieces & (pieces_left == 0) & ~now.zero)
        half_piece = (8 << now.out_pitch) < group
        for x in range(group):
            sources = [
                (0, now.stride2 & high),  # every second pixel of a row fills no second piece
                (pixels[2 * x], now.stride2),
                (pixels[group + x], high),
                (pixels[x], 1),
            ]
            if x >= FILL_PIXELS:  # a row of 8 is less than a piece: written into either half of it
                low = x - FILL_PIXELS
                sources.insert(0, (Mux(now.stride2, pixels[2 * low], pixels[low]), half_piece))
            value = 0
            for source, wanted in reversed(sources):
                value = Mux(wanted, source, value)
            for channel in range(group):
                m.d.sync += write.data[channel][x].eq(value[channel])
        parts = write_parts(config)
        enabled = Cat(~half_piece | (now.part == n) | now.zero for n in range(parts))
        m.d.sync += [
            self.valid.eq(active & now.wanted),
            write.addr.eq(Mux(now.zero, now.addr, now.addr + (more - copies_left))),
            write.piece.eq(Mux(now.zero, (1 << PIECES) - 1, Mux(high, now.piece << 1, now.piece))),
            write.halves.eq(now.halves),
            write.parts.eq(enabled),
            self.filled.eq(end & now.done),
        ]
        return m
