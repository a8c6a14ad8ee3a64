"""Data side of the DRAIN engine: result tiles as beats."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue, up
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS, RESULT_TILE, result_row, result_rows
from cpt.hw.matrix.copies import one_less, one_more, spread

_PLANES = ACC_BITS // 8
_PART_BITS = ACC_BITS // 2
"""Bits of a column that one copy of the choice between columns serves."""
_SPREAD_CYCLES = 2
_CHOICE_CYCLES = 2
"""Registers behind the row: its eight columns, their byte plane."""
_BANK_BITS = BEAT_BITS // 2
"""Bits of a beat in one queue: memory in LUTs has three address pins for six bits."""
_END = data.StructLayout({"data": _BANK_BITS, "last": 1})
"""A beat's upper half, and whether it is its tile's last."""


class Serialiser(wiring.Component):
    """Turns the rows of result tiles into beats: row, byte plane, eight columns at a time.

    The row is read anew for every beat; its eight columns are chosen, then their byte plane, with registers
    behind each. Beats land in a queue with a place for each that is under way, so nothing is held up between.

    Members: ``tiles`` (in, in result-buffer order), ``drain_addr``, ``drain_row`` (result buffer), ``beats``
    (out), ``tile_free``: the last beat of a tile was taken a cycle ago. ``drain_addr`` and ``tile_free`` are
    registers.
    A beat per cycle, without a gap between tiles; `latency_cycles` from a tile to its first beat.
    """

    latency_cycles = MACHINE.serialiser_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.rows = result_rows(config)
        super().__init__(
            {
                "tiles": In(stream.Signature(RESULT_TILE)),
                "drain_addr": Out(range(MACHINE.result_tiles * self.rows)),
                "drain_row": In(result_row(config)),
                "beats": Out(stream.Signature(BEAT_BITS)),
                "tile_free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.held = held = Outstanding(MACHINE.serialiser_beats)
        m.submodules.low = low = RoomyQueue(_BANK_BITS, MACHINE.serialiser_beats)
        m.submodules.high = high = RoomyQueue(_END, MACHINE.serialiser_beats)
        asks, last, plane, group = self._walk(m, ~held.full)
        beat = self._choose(m, plane, group)
        arrives = asks
        for n in range(MACHINE.result_buffer_cycles + _CHOICE_CYCLES):
            arrives = _later(m, arrives, f"arrives_{n}", reset_less=False)
            last = _later(m, last, f"last_{n}")
        taken = Signal()
        m.d.comb += [
            taken.eq(self.beats.valid & self.beats.ready),
            held.issue.eq(asks),
            held.finish.eq(taken),
            low.payload.eq(beat[:_BANK_BITS]),
            high.payload.data.eq(beat[_BANK_BITS:]),
            high.payload.last.eq(last),
            self.beats.valid.eq(low.o.valid),
            self.beats.payload.eq(Cat(low.o.payload, high.o.payload.data)),
        ]
        for half in (low, high):
            m.d.comb += [half.push.eq(arrives), half.o.ready.eq(self.beats.ready)]
        m.d.sync += self.tile_free.eq(taken & high.o.payload.last)
        return m

    def _walk(self, m, room):
        """Rows, planes and groups in order while there is ``room``; the row is what ``drain_addr`` says.

        Returns whether a beat is asked for, whether it is its tile's last, its plane and its group.
        """
        rows, groups = self.config.rows, self.config.cols // BEAT_BYTES
        new, address = self.tiles.payload, self.drain_addr
        active = Signal()
        which = Signal()
        plane = Signal(range(_PLANES), reset_less=True)
        group = Signal(range(max(2, groups)), reset_less=True)
        group_ends, plane_ends, row_ends = (
            Signal(name=f"{name}_ends", init=1) for name in ("group", "plane", "row")
        )
        """The last group of its plane, plane of its row, row of its tile; all are set without a tile."""
        single = Signal(reset_less=True)
        """A row has one plane."""
        plane_before, row_before = (
            Signal.like(value, name=f"{name}_before", reset_less=True)
            for name, value in (("plane", plane), ("row", address))
        )
        """What comes before the last plane of a row, the last row of the tile."""
        ends = group_ends & plane_ends & row_ends
        m.d.comb += self.tiles.ready.eq(room & ends)
        with m.If(room):
            m.d.sync += [
                group.eq(Mux(group_ends, 0, one_more(group))),
                group_ends.eq((groups == 1) | (~group_ends & (group == groups - 2))),
            ]
        with m.If(room & group_ends):
            m.d.sync += [
                plane.eq(Mux(plane_ends, 0, one_more(plane))),
                plane_ends.eq(Mux(plane_ends, single, plane == plane_before)),
            ]
        with m.If(room & group_ends & plane_ends):
            m.d.sync += row_ends.eq(address == row_before)
        none, start = ~self.tiles.valid, Mux(which, self.rows, 0)
        with m.If(self.tiles.ready):
            m.d.sync += [
                active.eq(self.tiles.valid),
                which.eq(which ^ self.tiles.valid),
                single.eq(new.bytes == 1),
                plane_before.eq(one_less(one_less(new.bytes))),
                row_before.eq(start + Mux(new.col_sums, rows - 1, rows - 2)),
                group_ends.eq(none | (groups == 1)),
                plane_ends.eq(none | (new.bytes == 1)),
                row_ends.eq(none | ((rows == 1) & ~new.col_sums)),
            ]
        # Gates, not choices: of those synthesis would make a reset behind some nets.
        fresh = self.tiles.ready.replicate(len(address))
        m.d.sync += address.eq((up(address, room & group_ends & plane_ends) & ~fresh) | (start & fresh))
        return active & room, ends, plane, group

    def _choose(self, m, plane, group):
        """The beat, `_CHOICE_CYCLES` after its row."""
        groups = self.config.cols // BEAT_BYTES
        for n in range(MACHINE.result_buffer_cycles - _SPREAD_CYCLES):
            plane, group = _later(m, plane, f"plane_{n}"), _later(m, group, f"group_{n}")
        plane = _later(m, plane, "plane_of_row")
        parts = ACC_BITS // _PART_BITS
        group_copies = spread(m, group, BEAT_BYTES * parts, "group") if groups > 1 else []
        plane_copies = spread(m, plane, BEAT_BYTES, "plane")
        beat = Signal(BEAT_BITS, reset_less=True)
        for place in range(BEAT_BYTES):
            column = Signal(ACC_BITS, name=f"column_{place}", reset_less=True)
            options = [self.drain_row[place + BEAT_BYTES * g] for g in range(groups)]
            for part in range(parts):
                choice = group_copies[place * parts + part] if groups > 1 else 0
                pieces = [option.word_select(part, _PART_BITS) for option in options]
                m.d.sync += column.word_select(part, _PART_BITS).eq(Array(pieces)[choice])
            planes = [column.word_select(number, 8) for number in range(_PLANES)]
            m.d.sync += beat.word_select(place, 8).eq(Array(planes)[plane_copies[place]])
        return beat


def _later(m, source, name, *, reset_less=True):
    """``source`` a cycle later."""
    later = Signal(len(source), name=name, reset_less=reset_less)
    m.d.sync += later.eq(source)
    return later
