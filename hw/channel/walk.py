"""Addresses of an operand's elements, repetition by repetition."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.matrix.copies import KEEP

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
    stays too; ``advance``: to the next step, with ``row_end`` to the first of the next repetition; ``addr``.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "operand": In(OPERAND),
                "wide": In(1),
                "start": In(1),
                "advance": In(1),
                "row_end": In(1),
                "addr": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = Signal(ADDRESS_BITS, reset_less=True)
        operand = self.operand
        next_row = Signal(ADDRESS_BITS)
        next_addr = Signal(ADDRESS_BITS)
        moves = operand.moves
        step = Signal(range(self.lanes + 1))
        m.d.comb += step.eq(Mux(moves, Mux(self.wide, self.lanes, 1), 0))
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

    Members: ``start``: all of ``loop`` are left, at least one; ``advance``; ``row_end``, in two copies: the
    step is the last of its repetition; ``last``: of all.
    """

    def __init__(self):
        super().__init__(
            {
                "loop": In(LOOP),
                "start": In(1),
                "advance": In(1),
                "row_end": Out(2),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A copy of its own counts.
        ends_row = [Signal(name=f"ends_row_{n}", reset_less=True, attrs=KEEP) for n in range(3)]
        left, rows = (Signal(COUNT_BITS, name=name, reset_less=True) for name in ("left", "rows"))
        last_row = Signal(reset_less=True)
        single, single_row = (Signal(name=name, reset_less=True) for name in ("single", "single_row"))
        ends = Signal()
        m.d.sync += [single.eq(self.loop.n == 1), single_row.eq(self.loop.reps == 1)]
        m.d.comb += [
            self.row_end.eq(Cat(ends_row[:2])),
            self.last.eq(ends_row[2] & last_row),
            ends.eq(self.advance & ends_row[2]),
        ]
        with m.If(self.start | ends):
            m.d.sync += [left.eq(self.loop.n), *(copy.eq(single) for copy in ends_row)]
        with m.Elif(self.advance):
            m.d.sync += [left.eq(left - 1), *(copy.eq(left == 2) for copy in ends_row)]
        with m.If(self.start):
            m.d.sync += [rows.eq(self.loop.reps), last_row.eq(single_row)]
        with m.Elif(ends):
            m.d.sync += [rows.eq(rows - 1), last_row.eq(rows == 2)]
        return m
