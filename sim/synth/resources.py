"""What a netlist takes of a part: an estimate before placement, with no word on the clock rate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cpt.hw.contract.ports import TOP
from cpt.sim.synth.cells import LUTS_OF_MEMORY
from cpt.sim.synth.graph import is_module
from cpt.sim.synth.lut_sites import lut_sites
from cpt.sim.synth.yosys import Netlist

RESULT_PATH = tuple(f"{TOP}.{name}" for name in ("array", "collector", "results"))
"""The array and what its results pass on their way to the drain or, in whole steps, the lanes."""
DRAIN, LANES = (f"{TOP}.{name}" for name in ("drain", "lanes"))
"""The one is part of that way, the other is not."""
_SITE = "LUT site"


@dataclass(frozen=True)
class Resources:
    """What a design takes of the fabric. ``luts``: sites of 6-input LUTs (`lut_sites`)."""

    luts: int = 0
    flip_flops: int = 0
    bram36: float = 0
    dsp: int = 0
    carry4: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.flip_flops + other.flip_flops,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
            self.carry4 + other.carry4,
        )


@dataclass(frozen=True)
class Synthesis:
    """Resources of one unit, of the array with all units and its result path, and of the whole design."""

    program: str
    """Name and version of what counted."""
    units: int
    unit: Resources
    array: Resources
    whole: Resources


def count(netlist: Netlist) -> Synthesis:
    """What the design of a netlist takes."""
    passed = RESULT_PATH if LANES in netlist.modules else (*RESULT_PATH, DRAIN)
    return Synthesis(
        netlist.program,
        cells(netlist.modules, netlist.top)[netlist.unit],
        resources(netlist.modules, netlist.unit),
        sum((resources(netlist.modules, name) for name in passed), Resources()),
        resources(netlist.modules, netlist.top),
    )


def resources(modules: dict[str, Any], module: str) -> Resources:
    """What one module takes with all modules in it."""
    found = cells(modules, module)
    return Resources(
        found[_SITE] + sum(found[kind] * luts for kind, luts in LUTS_OF_MEMORY.items()),
        sum(times for kind, times in found.items() if kind.startswith("FD")),
        found["RAMB36E1"] + found["RAMB18E1"] / 2,
        found["DSP48E1"],
        found["CARRY4"],
    )


def cells(modules: dict[str, Any], module: str) -> Counter[str]:
    """Cells by type and LUT sites below ``module``, those of a module inside it as often as it is there."""
    inside = modules[module]["cells"].values()
    found = Counter({_SITE: lut_sites(inside)})
    for kind, times in Counter(cell["type"] for cell in inside).items():
        found[kind] += times
        if is_module(modules, kind):
            for inner, more in cells(modules, kind).items():
                found[inner] += times * more
    return found
