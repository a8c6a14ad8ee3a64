"""The array: rows x cols units and a row of column sums, with the registers on the way to them and back."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE, array_latency_cycles
from cpt.hw.layouts import COLLECT, captured_row, result_rows, step_layout
from cpt.hw.matrix.copies import copies
from cpt.hw.matrix.row_select import RowSelect
from cpt.hw.matrix.unit import CONTROLS, Unit, result_bits, unit_instance, unit_signature

COPY_ROWS, COPY_COLS = 4, 8
"""Units that one copy of the operands serves: B's word in so many rows, A's in so many columns."""
TAP_LOADS = 16
"""Bits of the column sums' words that a copy of a tap serves; each has up to two loads in a unit."""

_Controls = data.StructLayout(dict.fromkeys(CONTROLS, 1))


class Array(wiring.Component):
    """Multiplies a word of every row with a word of every column each cycle.

    Words pass two registers, a single one and then a copy for every block of `COPY_ROWS` x `COPY_COLS` units;
    controls pass four, of which the last two spread them over the blocks. Column sums come from units whose
    A word is a step's ``taps``, each bit for a ninth of the word (`TAPS`); they have B's sign only, and where
    they subtract they do not double.

    Parameters: ``config``; ``inline``: build the units in place instead of instantiating their module.
    Members: ``valid``, ``step``: a step's controls; ``a_words``, ``b_words``: its words, `OPERAND_LATENCY`
    cycles later; ``captured``, ``collect``: rows of a tile can be asked for from the next cycle on, the
    column sums first, until the next tile's; ``row_index``; ``row``: `ROW_LATENCY` cycles later.
    """

    OPERAND_LATENCY = MACHINE.operand_buffer_cycles
    ROW_LATENCY = MACHINE.row_select_cycles

    def __init__(self, config: ArrayConfig, *, inline: bool):
        self.config = config
        self._inline = inline
        self._bits = result_bits(config)
        self.latency_cycles = array_latency_cycles(config)
        """Cycles from ``step`` to ``captured``."""
        super().__init__(
            {
                "valid": In(1),
                "step": In(step_layout(config)),
                "a_words": In(config.word_bits).array(config.rows),
                "b_words": In(config.word_bits).array(config.cols),
                "captured": Out(1),
                "collect": Out(COLLECT),
                "row_index": In(range(result_rows(config))),
                "row": Out(captured_row(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.select = select = RowSelect(config)
        m.d.comb += [select.index.eq(self.row_index), self.row.eq(select.row)]
        self._announce(m)

        blocks_down = -(-config.rows // COPY_ROWS)
        blocks_across = -(-config.cols // COPY_COLS)
        controls, sum_controls = self._controls(m, blocks_down, blocks_across)
        a_copies = [
            copies(m, self._registered(m, word, f"a_{row}"), blocks_across, f"a_{row}_copy")
            for row, word in enumerate(self.a_words)
        ]
        sum_words = self._sum_words(m)
        b_copies = [
            copies(m, self._registered(m, word, f"b_{column}"), blocks_down, f"b_{column}_copy")
            for column, word in enumerate(self.b_words)
        ]
        for row in range(result_rows(config)):
            down = min(row, config.rows - 1) // COPY_ROWS
            for column in range(config.cols):
                across = column // COPY_COLS
                is_sum = row == config.rows
                result = self._unit(
                    m,
                    f"col_sum_{column}" if is_sum else f"unit_{row}_{column}",
                    sum_words[column] if is_sum else a_copies[row][across],
                    b_copies[column][down],
                    sum_controls[across] if is_sum else controls[down][across],
                )
                m.d.comb += select.results[row][column].eq(result)
        return m

    def _announce(self, m):
        """``captured`` and ``collect``, so early that a row stands when the row select looks at it."""
        captured, collect = self.valid & self.step.capture, self.step.collect
        for n in range(self.latency_cycles):
            later = Signal(name=f"captured_{n + 1}")
            later_collect = Signal(COLLECT, name=f"collect_{n + 1}", reset_less=True)
            m.d.sync += [later.eq(captured), later_collect.eq(collect)]
            captured, collect = later, later_collect
        m.d.comb += [self.captured.eq(captured), self.collect.eq(collect)]

    def _registered(self, m, source, name):
        """``source`` one cycle later."""
        later = Signal(source.shape(), name=name, reset_less=True)
        m.d.sync += later.eq(source)
        return later

    def _controls(self, m, blocks_down, blocks_across):
        """Controls of the units per block, and of the column sums per block across."""
        step = self.step
        first, first_sums = (Signal(_Controls, name=name) for name in ("step_controls", "sum_controls"))
        m.d.comb += [getattr(first, name).eq(self.valid & getattr(step, name)) for name in CONTROLS]
        m.d.comb += [
            first_sums.eq(first),
            first_sums.subtract.eq(self.valid & step.b_subtract),
            # Nothing was added before B's top plane: there is nothing to double.
            first_sums.double.eq(self.valid & step.double & ~step.b_subtract),
        ]
        found = []
        for name, source in (("controls", first), ("sums", first_sums)):
            for n in range(self.OPERAND_LATENCY):
                source = self._registered(m, source, f"{name}_{n + 1}")
            found.append(copies(m, source, blocks_across, f"{name}_across"))
        units, sums = found
        down = [copies(m, item, blocks_down, f"controls_{n}_down") for n, item in enumerate(units)]
        return list(zip(*down, strict=True)), [
            copies(m, item, 1, f"sums_{n}_down")[0] for n, item in enumerate(sums)
        ]

    def _sum_words(self, m):
        """A's word of each column's sum, when the rows' copies are there."""
        taps, columns = self.step.taps, self.config.cols
        for n in range(self.OPERAND_LATENCY + 1):
            taps = self._registered(m, taps, f"taps_{n + 1}")
        bits = self.config.word_bits // TAPS
        each = max(TAP_LOADS // bits, 1)
        spread = copies(m, taps, -(-columns // each), "taps_copy")
        return [Cat(tap.replicate(bits) for tap in spread[column // each]) for column in range(columns)]

    def _unit(self, m, name, a, b, controls):
        """One unit; returns its result."""
        width = self.config.word_bits
        if self._inline:
            item = m.submodules[name] = Unit(width, bits=self._bits)
        else:
            item = unit_signature(width, self._bits).create(path=(name,))
            m.submodules[name] = unit_instance(item)
        m.d.comb += [item.a.eq(a), item.b.eq(b)]
        m.d.comb += [getattr(item, control).eq(getattr(controls, control)) for control in CONTROLS]
        return item.result
