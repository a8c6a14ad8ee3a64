"""One row of the results that the units have captured."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import captured_row, result_rows
from cpt.hw.matrix.copies import spread

SLICE_BITS = 5
"""Bits of a column that one copy of the index selects; up to six LUTs each."""


class RowSelect(wiring.Component):
    """A multiplexer over the rows for every column, then one for the column sums, registers behind both.

    Parameters: ``config``.
    Members: ``results``: of every unit, the column sums last; ``index``: a row, or ``rows`` for the sums;
    ``row``. Rows are looked at ``latency_cycles - 2`` cycles after their index, the sums one cycle later.
    Latency `latency_cycles`, a row per cycle.
    """

    latency_cycles = MACHINE.row_select_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        self._row = captured_row(config)
        super().__init__(
            {
                "results": In(self._row).array(result_rows(config)),
                "index": In(range(result_rows(config))),
                "row": Out(self._row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, bits = self.config.rows, self._row.elem_shape.width
        choice = Signal(data.StructLayout({"row": (rows - 1).bit_length(), "sums": 1}))
        m.d.comb += [choice.row.eq(self.index), choice.sums.eq(self.index == rows)]
        starts = [
            (column, start) for column in range(self.config.cols) for start in range(0, bits, SLICE_BITS)
        ]
        chosen = spread(m, choice, len(starts), "choice")
        for number, ((column, start), copy) in enumerate(zip(starts, chosen, strict=True)):
            part = slice(start, min(start + SLICE_BITS, bits))
            *parts, sums = (row[column].as_unsigned()[part] for row in self.results)
            width = part.stop - part.start
            picked = Signal(width, name=f"picked_{number}", reset_less=True)
            is_sums = Signal(name=f"is_sums_{number}", reset_less=True)
            row = Signal(width, name=f"row_{number}", reset_less=True)
            m.d.sync += [
                picked.eq(_choose(copy.row, parts)),
                is_sums.eq(copy.sums),
                row.eq(Mux(is_sums, sums, picked)),
            ]
            m.d.comb += self.row.as_value()[column * bits + start : column * bits + part.stop].eq(row)
        return m


def _choose(index, items: list):
    """``items[index]`` as a tree of multiplexers."""
    for bit in index:
        pairs = [items[n : n + 2] for n in range(0, len(items), 2)]
        items = [Mux(bit, pair[-1], pair[0]) for pair in pairs]
    return Cat(items[0])
