"""Moves captured tiles into the result buffer, row by row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.machine import MACHINE, collector_latency_cycles
from cpt.hw.drain.result_buffer import places
from cpt.hw.layouts import COLLECT, captured_row, result_row, result_rows
from cpt.hw.matrix.copies import spread

COPY_BITS = 24
"""Bits of a column that one copy of ``first`` serves."""


class Collector(wiring.Component):
    """Adds a captured tile to a result tile, or overwrites it with ``first``; a row a cycle, the sums first.

    Parameters: ``config``; ``adds``: tiles may be added to, else ``first`` is always meant.
    A new tile may be captured every ``tile_interval_cycles`` (`cpt.hw.contract.order`).

    Members: ``captured``, ``collect``, ``row_index``, ``row``: the array's results; ``old_*`` (where it
    ``adds``), ``write_*``: the result buffer, addresses and ``write_en`` as far ahead as it asks for;
    ``done``: the last row is being written; ``complete``: and DRAIN may have the tile.
    Latency `latency_cycles` from ``captured`` to ``done``.
    """

    def __init__(self, config: ArrayConfig, *, adds: bool = True):
        self.config, self.adds = config, adds
        self.rows = result_rows(config)
        self.row_cycles = MACHINE.row_select_cycles + 1
        """Cycles from a row's index to its sum being written."""
        self.latency_cycles = collector_latency_cycles(config)
        self.places = places(adds)
        address = range(self.places * self.rows)
        super().__init__(
            {
                "captured": In(1),
                "collect": In(COLLECT),
                "row_index": Out(range(self.rows), init=self.config.rows),
                "row": In(captured_row(config)),
                **({"old_addr": Out(address), "old_row": In(result_row(config))} if adds else {}),
                "write_en": Out(1),
                "write_addr": Out(address),
                "write_row": Out(result_row(config)),
                "done": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active = Signal()
        last = Signal()
        collect = Signal(COLLECT)
        m.d.comb += last.eq(self.row_index == self.config.rows - 1)
        with m.If(active):
            m.d.sync += active.eq(~last)
            m.d.sync += self.row_index.eq(Mux(self.row_index == self.config.rows, 0, self.row_index + 1))
        with m.If(self.captured):
            m.d.sync += [active.eq(1), collect.eq(self.collect), self.row_index.eq(self.config.rows)]

        # The row's place in the result buffer: the sums' behind those of the rows.
        address = Signal(range(self.places * self.rows))
        first, sums = self._places(m, collect, address.shape())
        with m.If(self.captured):
            m.d.sync += address.eq(sums)
        with m.Elif(self.row_index == self.config.rows):
            m.d.sync += address.eq(first)
        with m.Else():
            m.d.sync += address.eq(address + 1)

        def later(source, cycles, name, reset_less=True):
            """``source`` after each number of cycles up to ``cycles``."""
            stages = [source]
            for n in range(cycles):
                stages.append(Signal(source.shape(), name=f"{name}_{n + 1}", reset_less=reset_less))
                m.d.sync += stages[-1].eq(stages[-2])
            return stages

        ahead = self.row_cycles - MACHINE.result_address_cycles
        addresses = later(address, ahead, "address")
        writing = later(active, ahead, "writing", reset_less=False)
        ends = later(active & last, self.row_cycles, "ends", reset_less=False)
        completes = later(active & last & collect.last, self.row_cycles, "completes", reset_less=False)
        m.d.comb += [
            self.write_addr.eq(addresses[-1]),
            self.write_en.eq(writing[-1]),
            self.done.eq(ends[-1]),
            self.complete.eq(completes[-1]),
        ]
        added = self._old_row(m, address, later(collect.first, self.row_cycles - 3, "first")[-1])
        for column in range(self.config.cols):
            total = Signal(ACC_BITS, name=f"total_{column}", reset_less=True)
            m.d.sync += total.eq(self.row[column] + added[column] if added else self.row[column])
            m.d.comb += self.write_row[column].eq(total)
        return m

    def _places(self, m, collect, shape):
        """Where the first row of the tile at hand lies, and the sums of one that is captured.

        Tiles that nothing is added to take places in turn.
        """
        if self.adds:
            sums = Mux(self.collect.tile, 2 * self.rows - 1, self.rows - 1)
            return Mux(collect.tile, self.rows, 0), sums
        first = Signal(shape, reset_less=True)
        following = Signal(shape)
        sums = Signal(shape, init=self.rows - 1)
        """Those of the following tile."""
        with m.If(self.captured):
            last = following == (self.places - 1) * self.rows
            m.d.sync += [
                first.eq(following),
                following.eq(Mux(last, 0, following + self.rows)),
                sums.eq(Mux(last, self.rows - 1, sums + self.rows)),
            ]
        return first, sums

    def _old_row(self, m, address, first):
        """What a row is added to, a cycle before its sum is written; ``first``: none, two cycles before."""
        if not self.adds:
            return None
        parts = -(-ACC_BITS // COPY_BITS)
        firsts = spread(m, first, self.config.cols * parts, "first")
        m.d.comb += self.old_addr.eq(address)
        fresh = [
            Cat(item.replicate(COPY_BITS) for item in firsts[column * parts : (column + 1) * parts])
            for column in range(self.config.cols)
        ]
        return [(self.old_row[column] & ~flags).as_signed() for column, flags in enumerate(fresh)]
