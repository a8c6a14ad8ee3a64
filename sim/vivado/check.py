"""Everything about the bitstream that can be checked without Vivado."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cpt.hw.contract.board import Board
from cpt.hw.contract.handoff import hwh
from cpt.hw.export import export, unit_verilog
from cpt.hw.matrix.unit import MODULE_NAME
from cpt.hw.vivado.build import prepare
from cpt.hw.vivado.settings import Build
from cpt.model.scratch import Scratch
from cpt.sim.synth.apart import HEAD, blocks_apart, line_of, shares, sum_of, too_much
from cpt.sim.synth.report import name_of
from cpt.sim.synth.yosys import yosys
from cpt.sim.vivado.checks.documents import document_problems
from cpt.sim.vivado.checks.handoff import handoff_problems
from cpt.sim.vivado.checks.ipxact import component_problems
from cpt.sim.vivado.checks.lint import lint_problems
from cpt.sim.vivado.checks.ports import port_problems
from cpt.sim.vivado.checks.scripts import gate_problems, script_problems

DOCS = Path(__file__).absolute().parents[3] / "docs"
"""The generated pages; an installed package has none, and nothing to compare."""

KEPT = Path("build/synth")
"""Blocks that were counted before."""


def steps(build: Build, folder: Path) -> Iterator[tuple[str, Callable[[], Iterable[str]]]]:
    """Name of each check and the function that returns its problems; later ones build on earlier ones."""
    sample = folder / "sample.hwh"
    sample.write_text(hwh(build.config, board=build.board), encoding="utf-8")
    if DOCS.is_dir():
        yield "generated pages", lambda: document_problems(DOCS)
    yield "ports and bus attributes", lambda: port_problems(build.verilog)
    yield "Verilog lint", lambda: _lint(build, folder)
    yield "sample handoff through pynq", lambda: handoff_problems(sample, build.board, build.config.clock_mhz)
    yield "scripts", lambda: script_problems(build)
    yield "packaged IP", lambda: component_problems(build.output / "work" / "ip" / "component.xml")
    yield (
        "handoff of the block design",
        lambda: handoff_problems(build.output / "cpt.hwh", build.board, build.clock_mhz),
    )
    yield "gate refuses bad designs", lambda: gate_problems(build)


def _lint(build: Build, folder: Path) -> list[str]:
    """Problems of the design around portable units, and of one unit in the part's cells, for time's sake."""
    unit = folder / "unit.v"
    unit.write_text(unit_verilog(build.config, "xc7"), encoding="utf-8")
    whole = export(build.config, folder / "portable", build_id=0)
    return [*lint_problems(whole), *lint_problems(unit, MODULE_NAME)]


def check(target: Board, clock_mhz: float | None = None, synthesis: bool = False) -> list[str]:
    """All problems of one board's build; prints a line per check. ``synthesis``: count resources too."""
    found: list[str] = []
    if synthesis:
        yosys()  # a missing program is told at once, not minutes later
    with Scratch("bitstream") as scratch:
        build = prepare(target, clock_mhz or target.clock_mhz, scratch)
        for title, run in steps(build, scratch):
            problems = list(run())
            print(f"{target.name}: {'FAIL' if problems else 'ok  '} {title}", flush=True)
            for line in problems:
                print(f"    {line}", file=sys.stderr)
            found += problems
            if problems:
                return found  # the later checks build on this one
        if synthesis:
            found += _count_resources(build)
    return found


def _count_resources(build: Build) -> list[str]:
    """Synthesise block by block and print what the design takes; problems if the part has less."""
    board, config = build.board, build.config
    blocks = []
    print(HEAD, flush=True)
    for block in blocks_apart(config, "xc7", KEPT / name_of(config)):
        blocks.append(block)
        print(line_of(block), flush=True)
    whole = sum_of(config, blocks, board)
    problems = too_much(whole)
    print("\n".join(shares(whole)))
    print(f"{board.name}: {'FAIL' if problems else 'ok  '} resources by Yosys, before placement", flush=True)
    for line in problems:
        print(f"    {line}", file=sys.stderr)
    return problems
