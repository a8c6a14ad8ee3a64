"""Address side of the DRAIN engine: result tiles as runs of memory."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RESULT_TILE, RUN, drain_command, result_rows


class TileWalker(wiring.Component):
    """Gives every result tile of a DRAIN command its place in memory, as soon as it is complete.

    Members: ``commands`` (in), ``complete``: a tile was collected; ``runs``, ``tiles`` (out); ``stop``,
    ``idle``.
    One tile per cycle at most; ``tiles`` must be ready whenever fewer than two tiles are unsent.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(drain_command())),
                "complete": In(1),
                "runs": Out(stream.Signature(RUN)),
                "tiles": Out(stream.Signature(RESULT_TILE)),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = Signal(drain_command())
        active = Signal()
        waiting = Signal(range(MACHINE.result_tiles + 1))
        first_tile = Signal()
        tiles_left, blocks_left = Signal.like(command.tiles), Signal.like(command.blocks)
        tile_addr, block_addr = Signal(32), Signal(32)

        advance = Signal()
        rows = Signal(range(result_rows(self.config) + 1))
        row_beats = command.bytes * (self.config.cols // BEAT_BYTES)
        m.d.comb += [
            self.tiles.payload.bytes.eq(command.bytes),
            self.tiles.payload.col_sums.eq(command.col_sums & first_tile),
            rows.eq(self.config.rows + self.tiles.payload.col_sums),
            self.runs.payload.addr.eq(tile_addr),
            self.runs.payload.beats.eq(rows * row_beats),
            self.runs.valid.eq(active & (waiting != 0)),
            advance.eq(self.runs.valid & self.runs.ready),
            self.tiles.valid.eq(advance),
            self.commands.ready.eq(~active),
            self.idle.eq(~active),
        ]
        m.d.sync += waiting.eq(waiting + self.complete - advance)

        next_block = block_addr + command.block_stride
        with m.If(advance):
            m.d.sync += [
                first_tile.eq(0),
                tiles_left.eq(tiles_left - 1),
                tile_addr.eq(tile_addr + command.tile_stride),
            ]
            with m.If(tiles_left == 1):
                m.d.sync += [
                    first_tile.eq(1),
                    tiles_left.eq(command.tiles),
                    blocks_left.eq(blocks_left - 1),
                    tile_addr.eq(next_block),
                    block_addr.eq(next_block),
                    active.eq(blocks_left != 1),
                ]
        start = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [
                active.eq(1),
                command.eq(start),
                first_tile.eq(1),
                tiles_left.eq(start.tiles),
                blocks_left.eq(start.blocks),
                tile_addr.eq(start.base),
                block_addr.eq(start.base),
            ]
        return m
