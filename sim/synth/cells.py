"""The 7-series cells of a mapped netlist: which pins are registers, and how long the rest takes.

Delays in picoseconds are those of Yosys's cell library (techlibs/xilinx/cells_sim.v, from prjxray's timing
database of a -1 Artix-7): pins and what lies inside a slice, never the wires between slices.
"""

from __future__ import annotations

from typing import Any

Pin = tuple[str, int]
"""Port and bit."""

LUT_PS = (127, 238, 407, 472, 631, 642)
"""Delay of a LUT's inputs, fastest first: placers give the latest signal the fastest pin."""
LUTS = {"INV": 1, **{f"LUT{inputs}": inputs for inputs in range(1, 7)}, "LUT6_2": 6}
WIDE_MUXES = {"MUXF7": (223, 296), "MUXF8": (104, 273)}
"""Delay of the data inputs and of the select."""
CARRY_IN_PS, CARRY_OUT_PS, CARRY_PASS_PS, SUM_PS = 528, 227, 114, 313
"""CARRY4: into the chain to CO[3], one bit's S to its O, CI to CO[3], CI to O[3] (the slowest of each)."""
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
CLOCK_TO_Q_PS, ENABLE_PS, RESET_PS = 303, 109, 404
LUT_RAMS = ("RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D", "RAM128X1D", "RAM32X1S")
LUT_RAM_CLOCK_PS, LUT_RAM_DATA_PS, LUT_RAM_ENABLE_PS = 1190, 461, 654
SHIFTERS = ("SRL16E", "SRLC32E")
SHIFTER_CLOCK_PS, SHIFTER_DATA_PS = 1472, 173
BLOCK_RAMS = ("RAMB18E1", "RAMB36E1")
BLOCK_RAM_CLOCK_PS = {False: 2454, True: 882}
"""To the data outputs: without and with the output register."""
BLOCK_RAM_SETUP_PS = 737
DSP = "DSP48E1"
DSP_CLOCK_PS = {False: 1687, True: 329}
"""To P: from the input registers through the adder, and from P's own register."""
DSP_SETUP_PS = {False: 2739, True: 324}
"""Of A, B, C and the modes: through the multiplier to P's register, and to the input's own register."""
DSP_THROUGH_PS = 2823
"""From A or B to P where no register is on."""
LUTS_OF_MEMORY = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32X1S": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
}
"""LUTs that a memory cell takes (UG474)."""
CLOCK_PINS = frozenset({"CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"})
"""Besides C of a flip-flop."""
RESET_PINS = frozenset({"R", "S", "CLR", "PRE"})
DSP_REGISTERS = {
    "A": "AREG",
    "B": "BREG",
    "C": "CREG",
    "D": "DREG",
    "OPMODE": "OPMODEREG",
    "ALUMODE": "ALUMODEREG",
    "CARRYIN": "CARRYINREG",
    "CARRYINSEL": "CARRYINSELREG",
    "INMODE": "INMODEREG",
}
"""Register of each input that takes part in the result."""


def number(value: Any) -> int:
    """A parameter of the netlist as a number: Yosys writes bits, most significant first; x counts as 0."""
    if isinstance(value, int):
        return value
    bits = str(value).replace("x", "0").replace("z", "0")
    return int(bits, 2) if bits and set(bits) <= {"0", "1"} else 0


def is_clock(kind: str, port: str) -> bool:
    """Whether a pin is a clock: a flip-flop's is C, which is data of a DSP."""
    return port in CLOCK_PINS or (port == "C" and kind in FLIP_FLOPS)


def known(kind: str) -> bool:
    """Whether the walk knows what ``kind`` does to a path."""
    return (
        kind in LUTS
        or kind in WIDE_MUXES
        or kind in FLIP_FLOPS
        or kind in LUT_RAMS
        or kind in SHIFTERS
        or kind in BLOCK_RAMS
        or kind in ("CARRY4", DSP)
    )
