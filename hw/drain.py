"""DRAIN engine: complete result tiles to memory."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract import ArrayConfig
from hw.contract.config import ACC_BITS, BEAT_BYTES
from hw.layouts import ADDRESS, RUN, WRITE_BEAT, drain_command, result_row, result_rows
from hw.queue import Queue
from hw.result_buffer import TILES
from hw.write_master import WriteMaster

TILE = data.StructLayout({"bytes": 3, "col_sums": 1, "row_sums": 1})
"""What the serialiser needs to know about a tile."""


class TileWalker(wiring.Component):
    """Gives every result tile of a DRAIN command its place in memory, as soon as it is complete.

    Members: ``commands`` (in), ``complete``: a tile was collected; ``runs``, ``tiles`` (out); ``stop``, ``idle``.
    One tile per cycle at most; ``tiles`` must be ready whenever fewer than two tiles are unsent.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(drain_command())),
                "complete": In(1),
                "runs": Out(stream.Signature(RUN)),
                "tiles": Out(stream.Signature(TILE)),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = Signal(drain_command())
        active = Signal()
        waiting = Signal(range(TILES + 1))
        first_block, first_tile = Signal(), Signal()
        tiles_left, blocks_left = Signal.like(command.tiles), Signal.like(command.blocks)
        tile_addr, block_addr = Signal(32), Signal(32)

        advance = Signal()
        rows = Signal(range(result_rows(self.config) + 1))
        row_beats = command.bytes * (self.config.cols // BEAT_BYTES)
        m.d.comb += [
            self.tiles.payload.bytes.eq(command.bytes),
            self.tiles.payload.col_sums.eq(command.col_sums & first_tile),
            self.tiles.payload.row_sums.eq(command.row_sums & first_block),
            rows.eq(self.config.rows + self.tiles.payload.col_sums + self.tiles.payload.row_sums),
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
            m.d.sync += [first_tile.eq(0), tiles_left.eq(tiles_left - 1), tile_addr.eq(tile_addr + command.tile_stride)]
            with m.If(tiles_left == 1):
                m.d.sync += [
                    first_tile.eq(1),
                    first_block.eq(0),
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
                first_block.eq(1),
                tiles_left.eq(start.tiles),
                blocks_left.eq(start.blocks),
                tile_addr.eq(start.base),
                block_addr.eq(start.base),
            ]
        return m


class Serialiser(wiring.Component):
    """Turns the rows of result tiles into beats: row, byte plane, eight columns at a time.

    Members: ``tiles`` (in, in result-buffer order), ``drain_en``, ``drain_addr``, ``drain_row`` (result buffer), ``beats`` (out),
    ``tile_free``: the last beat of a tile was taken.
    A beat per cycle; two cycles from a tile to its first beat.
    """

    latency_cycles = 2

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.rows = result_rows(config)
        super().__init__(
            {
                "tiles": In(stream.Signature(TILE)),
                "drain_en": Out(1),
                "drain_addr": Out(range(TILES * self.rows)),
                "drain_row": In(result_row(config)),
                "beats": Out(stream.Signature(64)),
                "tile_free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, groups = self.config.rows, self.config.cols // BEAT_BYTES
        tile = Signal(TILE)
        active, which = Signal(), Signal()
        row = Signal(range(self.rows))
        plane, group = Signal(range(ACC_BITS // 8)), Signal(range(max(2, groups)))

        group_last, row_last, tile_last, taken = Signal(), Signal(), Signal(), Signal()
        next_row = Signal.like(row)
        m.d.comb += [
            group_last.eq(group == groups - 1),
            row_last.eq(group_last & (plane == tile.bytes - 1)),
            next_row.eq(Mux((row == rows - 1) & ~tile.col_sums, rows + 1, row + 1)),
            tile_last.eq(row_last & (row == Mux(tile.row_sums, rows + 1, Mux(tile.col_sums, rows, rows - 1)))),
            self.beats.valid.eq(active),
            taken.eq(active & self.beats.ready),
            self.tile_free.eq(taken & tile_last),
            self.tiles.ready.eq(~active),
        ]

        columns = [self.drain_row[c] for c in range(self.config.cols)]
        options = [
            Cat(column.word_select(p, 8) for column in columns[g * BEAT_BYTES : (g + 1) * BEAT_BYTES])
            for p in range(ACC_BITS // 8)
            for g in range(groups)
        ]
        m.d.comb += self.beats.payload.eq(Array(options)[plane * groups + group])

        # The buffer's read register holds the current row; the next one is fetched with a row's last beat.
        m.d.comb += [
            self.drain_en.eq((taken & row_last) | ~active),
            self.drain_addr.eq(Mux(which, self.rows, 0) + Mux(active, next_row, 0)),
        ]
        with m.If(taken):
            m.d.sync += group.eq(group + 1)
            with m.If(group_last):
                m.d.sync += [group.eq(0), plane.eq(plane + 1)]
            with m.If(row_last):
                m.d.sync += [plane.eq(0), row.eq(next_row)]
            with m.If(tile_last):
                m.d.sync += [active.eq(0), which.eq(~which)]
        with m.If(self.tiles.valid & self.tiles.ready):
            m.d.sync += [active.eq(1), tile.eq(self.tiles.payload), row.eq(0)]
        return m


class Drain(wiring.Component):
    """Sends result tiles in the order they were collected.

    Members: ``commands`` (in); ``complete``: a tile was collected; ``tile_free``: its place may be used again;
    ``drain_*``: result buffer; ``aw``, ``w``, ``b`` (AXI); ``stop``, ``error``, ``idle``, ``quiet`` as in `WriteMaster`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(drain_command())),
                "complete": In(1),
                "tile_free": Out(1),
                "drain_en": Out(1),
                "drain_addr": Out(range(TILES * result_rows(config))),
                "drain_row": In(result_row(config)),
                "aw": Out(stream.Signature(ADDRESS)),
                "w": Out(stream.Signature(WRITE_BEAT)),
                "b": In(stream.Signature(2)),
                "stop": In(1),
                "error": Out(1),
                "idle": Out(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = TileWalker(self.config)
        m.submodules.tiles = tiles = Queue(TILE, TILES)
        m.submodules.serialiser = serialiser = Serialiser(self.config)
        m.submodules.master = master = WriteMaster()
        connect(m, flipped(self.commands), walker.commands)
        connect(m, walker.runs, master.runs)
        connect(m, walker.tiles, tiles.i)
        connect(m, tiles.o, serialiser.tiles)
        connect(m, serialiser.beats, master.beats)
        connect(m, master.aw, flipped(self.aw))
        connect(m, master.w, flipped(self.w))
        connect(m, flipped(self.b), master.b)
        m.d.comb += [
            walker.complete.eq(self.complete),
            self.tile_free.eq(serialiser.tile_free),
            self.drain_en.eq(serialiser.drain_en),
            self.drain_addr.eq(serialiser.drain_addr),
            serialiser.drain_row.eq(self.drain_row),
            master.stop.eq(self.stop),
            self.error.eq(master.error),
            self.quiet.eq(master.quiet),
            self.idle.eq(walker.idle & master.idle & tiles.empty & ~serialiser.beats.valid),
        ]
        return m
