"""Moves captured tiles into the result buffer, row by row."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE, collector_latency_cycles
from cpt.hw.layouts import COLLECT, result_row, result_rows


class Collector(wiring.Component):
    """Adds a captured tile to a result tile, or overwrites it with ``first``; a row per cycle.

    A new tile may be captured every ``rows + 1`` cycles.

    Members: ``captured``, ``collect``, ``row_index``, ``row``: the array's results; ``old_*``, ``write_*``:
    the result buffer; ``done``: the last row is being written; ``complete``: and DRAIN may have the tile.
    Latency `latency_cycles` from ``captured`` to ``done``.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.rows = result_rows(config)
        self.latency_cycles = collector_latency_cycles(config)
        address, row = range(MACHINE.result_tiles * self.rows), result_row(config)
        super().__init__(
            {
                "captured": In(1),
                "collect": In(COLLECT),
                "row_index": Out(range(self.rows)),
                "row": In(row),
                "old_addr": Out(address),
                "old_row": In(row),
                "write_en": Out(1),
                "write_addr": Out(address),
                "write_row": Out(row),
                "done": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active = Signal()
        collect = Signal(COLLECT)
        last = Signal()
        m.d.comb += [
            last.eq(self.row_index == self.rows - 1),
            self.old_addr.eq(Mux(collect.tile, self.rows, 0) + self.row_index),
        ]
        with m.If(active):
            m.d.sync += [self.row_index.eq(self.row_index + 1), active.eq(~last)]
        with m.If(self.captured):
            m.d.sync += [active.eq(1), collect.eq(self.collect), self.row_index.eq(0)]

        # One cycle later the buffer's old row and the registered new row meet.
        first = Signal()
        row = Signal(result_row(self.config), reset_less=True)
        m.d.sync += [
            self.write_en.eq(active),
            self.write_addr.eq(self.old_addr),
            self.done.eq(active & last),
            self.complete.eq(active & last & collect.last),
            first.eq(collect.first),
            row.eq(self.row),
        ]
        for column in range(self.config.cols):
            m.d.comb += self.write_row[column].eq(row[column] + Mux(first, 0, self.old_row[column]))
        return m
