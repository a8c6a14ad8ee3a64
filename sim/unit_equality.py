"""The matrix unit's two forms side by side in Verilator: ``python -m cpt.sim.unit_equality``.

The instantiated form runs on models of its primitives that end the simulation at any mode or attribute which
the unit may not use.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cpt.host.errors import HostError
from cpt.hw.contract import PRESETS, ContractError
from cpt.hw.contract.machine import count_latency_cycles
from cpt.sim.cells.models import CELLS, HERE, MODELS, PORTABLE, unit_sources
from cpt.sim.tool import BuildError, ended, run_tool
from cpt.sim.verilator import (
    cached_build,
    sources_key,
    verilator_environment,
    verilator_root,
)

CONTROLS = ("clear", "double", "count", "subtract", "capture")
DRIVER = HERE / "equality.cpp"
PROGRAM = "equality"
BUILD_DEADLINE_S, COMPARE_DEADLINE_S = 900.0, 3600.0
FLAGS = ["--cc", "-O3", "-fno-dfg", "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
CXX_FLAGS = ["-std=c++17", "-O2", "-w"]


def build(word_bits: int) -> Path:
    """Folder with the compiled comparison of units for words of ``word_bits``; built if a source changed."""
    text = unit_sources(word_bits) + _top(word_bits)
    key = sources_key([*MODELS, DRIVER, Path(__file__)], text, FLAGS, CXX_FLAGS)
    return cached_build(f"unit/equality-{word_bits}", key, lambda folder: _compile(folder, text, word_bits))


def _top(word_bits: int) -> str:
    """Module ``equality``: both forms on the same inputs."""
    pins = ", ".join(f".{name}({'double_' if name == 'double' else name})" for name in CONTROLS)
    inputs = ", ".join("double_" if name == "double" else name for name in CONTROLS)
    units = "".join(
        f"  {module} {name}_unit (.clk(clk), .a(a), .b(b), {pins}, .result({name}));\n"
        for module, name in ((PORTABLE, "portable"), (CELLS, "cells"))
    )
    return (
        f"module equality (input clk, {inputs}, input [{word_bits - 1}:0] a, b, "
        f"output [47:0] portable, cells);\n{units}endmodule\n"
    )


def _compile(folder: Path, text: str, word_bits: int) -> None:
    (folder / "equality.v").write_text(text)
    environment = verilator_environment()
    sources = [str(folder / "equality.v"), *map(str, MODELS)]
    generated = folder / "generated"
    command = ["verilator", *FLAGS, "--top-module", "equality", "--Mdir", str(generated), *sources]
    run_tool(command, folder, BUILD_DEADLINE_S, environment)
    include = verilator_root() / "include"
    units = [
        *sorted(generated.glob("*.cpp")),
        include / "verilated.cpp",
        include / "verilated_threads.cpp",
        DRIVER,
    ]
    defines = [f"-DWORD_BITS={word_bits}", f"-DLATENCY={count_latency_cycles(word_bits) + 2}"]
    flags = [*CXX_FLAGS, *defines, f"-I{generated}", f"-I{include}", f"-I{include / 'vltstd'}"]
    command = ["g++", *flags, "-o", str(folder / PROGRAM), *map(str, units), "-pthread"]
    run_tool(command, folder, BUILD_DEADLINE_S)


def compare(word_bits: int, cycles: int, seed: int, *, forbidden: bool = False) -> str:
    """What was compared, in a line; `BuildError` with the first difference or the model that refused.

    ``forbidden``: take one step that the unit may not take.
    """
    program = build(word_bits) / PROGRAM
    command = [str(program), str(cycles), str(seed), *["forbidden"] * forbidden]
    status, output = ended(command, program.parent, COMPARE_DEADLINE_S)
    lines = [line for line in output.splitlines() if line.strip()]
    if status is None:
        raise BuildError(f"units of {word_bits} bits took longer than {COMPARE_DEADLINE_S:g} s")
    if status:
        raise BuildError(f"units of {word_bits} bits, seed {seed}: {lines[0] if lines else 'no message'}")
    return lines[-1]


def main(arguments: list[str] | None = None) -> int:
    """Compare the units of the given widths; the status."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.unit_equality", description=__doc__)
    widths = sorted({config.word_bits for config in PRESETS.values()})
    parser.add_argument("--word-bits", type=int, nargs="+", default=widths, help="widths of a word")
    parser.add_argument("--cycles", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    try:
        for word_bits in chosen.word_bits:
            print(f"unit of {word_bits} bits: {compare(word_bits, chosen.cycles, chosen.seed)}", flush=True)
    except (ContractError, HostError) as error:
        print(f"unit_equality: {error}", file=sys.stderr)
        return 2 if isinstance(error, ContractError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
