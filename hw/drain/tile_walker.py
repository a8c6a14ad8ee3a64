"""Address side of the DRAIN engine: result tiles as runs of memory."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.layout import SUM_ROWS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RESULT_TILE, RUN, drain_command
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies, tokens

HALF_ADDRESS = 16
"""Bits of an address register that share the signals it loads by."""
_COMMAND = drain_command()
_PARTS = -(-_COMMAND.size // MOST_LOADS)
"""Of a command's registers, as many as share the signal they load by."""


class TileWalker(wiring.Component):
    """Gives every result tile of a DRAIN command its place in memory, as soon as it is complete.

    Members: ``commands`` (in), ``complete``: a tile was collected; ``runs``, ``tiles`` (out); ``idle``.
    All outputs are registers. The first tile comes `run_cycles` after its command at the earliest, and so do
    the others after one another. A tile goes to ``tiles`` the cycle after its run was taken; they must be
    ready while fewer than two are unsent.
    """

    run_cycles = MACHINE.tile_walker_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(_COMMAND)),
                "complete": In(1),
                "runs": Out(stream.Signature(RUN)),
                "tiles": Out(stream.Signature(RESULT_TILE)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ready = Signal(init=1)
        accepted = Signal()
        moved = Signal()
        rises = Signal()
        more = Signal()
        waits = Signal()
        occupied, *full = copies(m, more, 1 + _PARTS, "full", reset_less=False)
        """There is a command; for each part of its registers too."""
        begin, *begins = copies(m, accepted, 5, "begin", reset_less=False)
        step, *steps = copies(m, moved, 5, "step", reset_less=False)
        """The cycle after a command, after a run that was taken; twice for each half of an address."""
        complete = tokens(m, "waiting", MACHINE.result_tiles, self.complete, rises)
        """Tiles without a run."""
        first_tile, last_block = (Signal(name=name, reset_less=True) for name in ("first_tile", "last_block"))
        """The tile is the first of its block; the block is its command's last."""
        ends, *half_ends = (Signal(name=f"ends_{n}", reset_less=True, attrs=KEEP) for n in range(3))
        """The tile is the last of its block; for each half of an address too."""
        m.d.comb += [
            accepted.eq(self.commands.valid & ready),
            moved.eq(self.runs.valid & self.runs.ready),
            more.eq(accepted | (occupied & ~(step & ends & last_block))),
            rises.eq(waits & complete[0]),
            self.commands.ready.eq(ready),
            self.idle.eq(ready),
        ]
        m.d.sync += [
            ready.eq(~more),
            waits.eq(begin | (step & ~(ends & last_block)) | (waits & ~complete[0])),
            self.runs.valid.eq(rises | (self.runs.valid & ~self.runs.ready)),
        ]
        command = self._command(m, full)
        tiles_left = Signal.like(command.tiles, reset_less=True)
        blocks_left = Signal.like(command.blocks, reset_less=True)
        with m.If(begin | step):
            m.d.sync += [
                first_tile.eq(begin | ends),
                tiles_left.eq(Mux(begin | ends, command.tiles, tiles_left - 1)),
            ]
        with m.If(begin):
            m.d.sync += blocks_left.eq(command.blocks)
        with m.Elif(step & ends):
            m.d.sync += blocks_left.eq(blocks_left - 1)

        # What the next step asks for stands a cycle before it can come.
        tile, block, next_tile, next_block = (
            Signal(32, name=name, reset_less=True) for name in ("tile", "block", "next_tile", "next_block")
        )
        plain, with_sums, beats = (
            Signal(RUN.members["beats"], name=name, reset_less=True)
            for name in ("plain", "with_sums", "beats")
        )
        for half, block_ends in enumerate(half_ends):
            part = slice(HALF_ADDRESS * half, HALF_ADDRESS * (half + 1))
            base, following = command.base[part], Mux(block_ends, next_block[part], next_tile[part])
            with m.If(begins[half] | steps[half]):
                m.d.sync += tile[part].eq(Mux(begins[half], base, following))
            with m.If(begins[2 + half] | (steps[2 + half] & block_ends)):
                m.d.sync += block[part].eq(Mux(begins[2 + half], base, next_block[part]))
        row_beats = self.config.cols // BEAT_BYTES
        m.d.sync += [
            *(flag.eq(tiles_left == 1) for flag in (ends, *half_ends)),
            last_block.eq(blocks_left == 1),
            next_tile.eq(tile + command.tile_stride),
            next_block.eq(block + command.block_stride),
            plain.eq(command.bytes * (self.config.rows * row_beats)),
            with_sums.eq(command.bytes * ((self.config.rows + SUM_ROWS) * row_beats)),
            beats.eq(Mux(first_tile & command.col_sums, with_sums, plain)),
        ]
        m.d.comb += [
            self.runs.payload.addr.eq(tile),
            self.runs.payload.beats.eq(beats),
            self.tiles.payload.bytes.eq(command.bytes),
            self.tiles.payload.col_sums.eq(command.col_sums & first_tile),
            self.tiles.valid.eq(step),
        ]
        return m

    def _command(self, m, full):
        """The command, taken in as long as there is none; ``full`` says for each part that there is."""
        command = Signal(_COMMAND)
        given = self.commands.payload.as_value()
        parts = []
        for number, closed in enumerate(full):
            piece = given[number * MOST_LOADS : (number + 1) * MOST_LOADS]
            part = Signal(len(piece), name=f"part_{number}", reset_less=True)
            with m.If(~closed):
                m.d.sync += part.eq(piece)
            parts.append(part)
        m.d.comb += command.eq(Cat(parts))
        return command
