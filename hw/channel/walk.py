"""Addresses of an operand's elements, repetition by repetition."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.step import FORMATS, Code

_WIDTHS = {item.name: item.width for item in FORMATS[Code.FLOAT]}
ADDRESS_BITS = _WIDTHS["a"]
COUNT_BITS = _WIDTHS["n"]
"""Of elements, and of repetitions."""
OPERAND = data.StructLayout(
    {
        "space": _WIDTHS["a_space"],
        "moves": 1,
        "address": unsigned(ADDRESS_BITS),
        "stride": unsigned(ADDRESS_BITS),
    }
)
"""An operand of FLOAT."""
LOOP = data.StructLayout({"n": COUNT_BITS, "reps": COUNT_BITS})


class Walk(wiring.Component):
    """Where an operand's element lies.

    Parameters: ``lanes``, elements of a step where they are taken together.
    Members: ``start``: at the first of ``operand``, which stays; ``wide``: steps of ``lanes`` elements, it
    stays too; ``advance``: to the next step, with ``two`` to the one after it, with ``row_end`` to the first
    of the next repetition; ``addr``.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "operand": In(OPERAND),
                "wide": In(1),
                "start": In(1),
                "advance": In(1),
                "two": In(1),
                "row_end": In(1),
                "addr": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row, operand = Signal(ADDRESS_BITS, reset_less=True), self.operand
        next_row, next_addr = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        moves = operand.moves
        wide = Mux(self.two, 2 * self.lanes, self.lanes)
        step = Signal(range(2 * self.lanes + 1))
        m.d.comb += step.eq(Mux(moves, Mux(self.wide, wide, 1), 0))
        m.d.comb += [
            next_row.eq(row + operand.stride),
            next_addr.eq(Mux(self.row_end, next_row, self.addr + step)),
        ]
        with m.If(self.start):
            m.d.sync += [row.eq(operand.address), self.addr.eq(operand.address)]
        with m.Elif(self.advance):
            m.d.sync += self.addr.eq(next_addr)
            with m.If(self.row_end):
                m.d.sync += row.eq(next_row)
        return m


class Countdown(wiring.Component):
    """Counts steps of repetitions.

    Members: ``start``: all of ``loop`` are left, at least one; ``advance``, ``two`` as of `Walk`;
    ``one_left``: of this repetition; ``row_end``: ``advance`` leaves none of this repetition; ``last``: none
    at all.
    """

    def __init__(self):
        super().__init__(
            {
                "loop": In(LOOP),
                "start": In(1),
                "advance": In(1),
                "two": In(1),
                "one_left": Out(1),
                "row_end": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left, rows = (Signal(COUNT_BITS, name=name, reset_less=True) for name in ("left", "rows"))
        two_left, last_row = (Signal(name=name, reset_less=True) for name in ("two_left", "last_row"))
        single, pair = self.loop.n == 1, self.loop.n == 2
        m.d.comb += [
            self.row_end.eq(Mux(self.two, two_left, self.one_left)),
            self.last.eq(self.row_end & last_row),
        ]
        restart = self.start | (self.advance & self.row_end)
        with m.If(restart):
            m.d.sync += [left.eq(self.loop.n), self.one_left.eq(single), two_left.eq(pair)]
        with m.Elif(self.advance):
            m.d.sync += [
                left.eq(left - Mux(self.two, 2, 1)),
                self.one_left.eq(Mux(self.two, left == 3, left == 2)),
                two_left.eq(Mux(self.two, left == 4, left == 3)),
            ]
        with m.If(self.start):
            m.d.sync += [rows.eq(self.loop.reps), last_row.eq(self.loop.reps == 1)]
        with m.Elif(self.advance & self.row_end):
            m.d.sync += [rows.eq(rows - 1), last_row.eq(rows == 2)]
        return m
