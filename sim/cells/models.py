"""Where the models are, and the two forms of the unit as Verilog modules of different names."""

from __future__ import annotations

from pathlib import Path

from cpt.hw.contract.config import ACC_BITS

HERE = Path(__file__).absolute().parent
MODELS = tuple(sorted(HERE.glob("*.v")))
"""LUT6, LUT6_2, CARRY4, FDRE and the used part of DSP48E1, a file each."""
PORTABLE, CELLS = "unit_portable", "unit_xc7"


def unit_sources(word_bits: int) -> str:
    """Modules `PORTABLE` and `CELLS`: the unit in both forms, results as wide as the accumulator."""
    from cpt.hw.export.verilog import unit_module

    return unit_module(word_bits, "portable", ACC_BITS, PORTABLE) + unit_module(
        word_bits, "xc7", ACC_BITS, CELLS
    )


def accumulator_source(count_bits: int) -> str:
    """Module ``accumulator``: the slice alone, its controls as ports."""
    from amaranth import Module, Signal
    from amaranth.back import verilog

    from cpt.hw.matrix.xc7 import accumulator

    m = Module()
    count = Signal(count_bits, name="count")
    controls = [Signal(name=name) for name in ("clear", "double_", "take", "subtract")]
    total = Signal(ACC_BITS, name="total_out")
    m.d.comb += total.eq(accumulator(m, count, *controls))
    ports = {signal.name: (signal, None) for signal in (count, *controls)} | {"total": (total, None)}
    return verilog.convert(m, name="accumulator", ports=ports, emit_src=False)
