"""Data side of the DRAIN engine: result tiles as beats."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RESULT_TILE, result_row, result_rows


class Serialiser(wiring.Component):
    """Turns the rows of result tiles into beats: row, byte plane, eight columns at a time.

    Members: ``tiles`` (in, in result-buffer order), ``drain_en``, ``drain_addr``, ``drain_row`` (result
    buffer), ``beats`` (out), ``tile_free``: the last beat of a tile was taken.
    A beat per cycle; two cycles from a tile to its first beat.
    """

    latency_cycles = MACHINE.serialiser_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.rows = result_rows(config)
        super().__init__(
            {
                "tiles": In(stream.Signature(RESULT_TILE)),
                "drain_en": Out(1),
                "drain_addr": Out(range(MACHINE.result_tiles * self.rows)),
                "drain_row": In(result_row(config)),
                "beats": Out(stream.Signature(64)),
                "tile_free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, groups = self.config.rows, self.config.cols // BEAT_BYTES
        tile = Signal(RESULT_TILE)
        active, which = Signal(), Signal()
        row = Signal(range(self.rows))
        plane, group = Signal(range(ACC_BITS // 8)), Signal(range(max(2, groups)))

        group_last, row_last, tile_last, taken = Signal(), Signal(), Signal(), Signal()
        next_row = Signal.like(row)
        m.d.comb += [
            group_last.eq(group == groups - 1),
            row_last.eq(group_last & (plane == tile.bytes - 1)),
            next_row.eq(row + 1),
            tile_last.eq(row_last & (row == Mux(tile.col_sums, rows, rows - 1))),
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
