"""The array: rows x cols dot-product units and a row of column sums."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE, accumulate_latency_cycles, array_latency_cycles
from cpt.hw.layouts import COLLECT, result_row, result_rows, step_layout
from cpt.hw.matrix.dot_product import DotProductUnit, dot_product_instance, dot_product_signature


class Array(wiring.Component):
    """Multiplies a word of every row with a word of every column each cycle.

    Column sums come from units whose A word is a step's ``taps``, each bit for a ninth of the word (`TAPS`);
    they have B's sign only.

    Parameters: ``config``; ``inline``: build the units in place instead of instantiating their module.
    Members: ``valid``, ``step``: flags of a step; ``a_words``, ``b_words``: its words, `OPERAND_LATENCY`
    cycles later; ``captured``, ``collect``: a tile's results stand still from the next cycle on until the
    next capture; ``row_index``, ``row``: one row of the captured results, combinational.
    """

    OPERAND_LATENCY = MACHINE.operand_buffer_cycles

    def __init__(self, config: ArrayConfig, *, inline: bool):
        self.config = config
        self._inline = inline
        self._step = step_layout(config)
        self.flag_latency_cycles = accumulate_latency_cycles(config)
        """Cycles from ``step`` to the accumulation."""
        self.latency_cycles = array_latency_cycles(config)
        """Cycles from ``step`` to ``captured``."""
        super().__init__(
            {
                "valid": In(1),
                "step": In(self._step),
                "a_words": In(config.word_bits).array(config.rows),
                "b_words": In(config.word_bits).array(config.cols),
                "captured": Out(1),
                "collect": Out(COLLECT),
                "row_index": In(range(result_rows(config))),
                "row": Out(result_row(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config

        flags = data.StructLayout({"valid": 1, "step": self._step})
        stages = [Signal(flags, name="stage_0")]
        m.d.comb += [stages[0].valid.eq(self.valid), stages[0].step.eq(self.step)]
        for n in range(self.flag_latency_cycles):
            stages.append(Signal(flags, name=f"stage_{n + 1}"))
            m.d.sync += stages[-1].eq(stages[-2])
        operands, accumulate = stages[self.OPERAND_LATENCY].step, stages[-1]
        enable, flag = accumulate.valid, accumulate.step
        m.d.sync += [self.captured.eq(enable & flag.capture), self.collect.eq(flag.collect)]

        def unit(name, a, b, negative):
            if self._inline:
                item = m.submodules[name] = DotProductUnit(config.word_bits)
            else:
                item = dot_product_signature(config.word_bits).create(path=(name,))
                m.submodules[name] = dot_product_instance(item)
            m.d.comb += [
                item.a.eq(a),
                item.b.eq(b),
                item.enable.eq(enable),
                item.clear.eq(flag.clear),
                item.double.eq(flag.double),
                item.count.eq(flag.count),
                item.negative.eq(negative),
                item.capture.eq(self.captured),
            ]
            return item.result

        taps = Cat(tap.replicate(config.word_bits // TAPS) for tap in operands.taps)
        rows = [
            [unit(f"unit_{r}_{c}", a, b, flag.subtract) for c, b in enumerate(self.b_words)]
            for r, a in enumerate(self.a_words)
        ]
        rows.append([unit(f"col_sum_{c}", taps, b, flag.b_subtract) for c, b in enumerate(self.b_words)])
        with m.Switch(self.row_index):
            for index, results in enumerate(rows):
                with m.Case(index):
                    m.d.comb += self.row.eq(Cat(results))
        return m
