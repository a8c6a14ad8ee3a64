"""Everything about the bitstream that can be checked without Vivado: ``python -m hw.vivado.check``."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hw.contract import ContractError
from hw.contract.board import BOARDS, Board, board
from hw.contract.handoff import hwh
from hw.vivado.build import prepare
from hw.vivado.checks.documents import document_problems
from hw.vivado.checks.handoff import handoff_problems
from hw.vivado.checks.ipxact import component_problems
from hw.vivado.checks.lint import lint_problems
from hw.vivado.checks.ports import port_problems
from hw.vivado.checks.scripts import gate_problems, script_problems
from hw.vivado.settings import Build

DOCS = Path("docs")


def steps(build: Build, folder: Path) -> Iterator[tuple[str, Callable[[], Iterable[str]]]]:
    """Name of each check and the function that returns its problems; later ones build on earlier ones."""
    sample = folder / "sample.hwh"
    sample.write_text(hwh(build.config, board=build.board), encoding="utf-8")
    yield "generated pages", lambda: document_problems(DOCS)
    yield "ports and bus attributes", lambda: port_problems(build.verilog)
    yield "Verilog lint", lambda: lint_problems(build.verilog)
    yield "sample handoff through pynq", lambda: handoff_problems(sample, build.board, build.config.clock_mhz)
    yield "scripts", lambda: script_problems(build)
    yield "packaged IP", lambda: component_problems(build.output / "work" / "ip" / "component.xml")
    yield (
        "handoff of the block design",
        lambda: handoff_problems(build.output / "cpt.hwh", build.board, build.clock_mhz),
    )
    yield "gate refuses bad designs", lambda: gate_problems(build)


def check(target: Board, clock_mhz: float | None = None) -> list[str]:
    """All problems of one board's build; prints a line per check."""
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cpt-bitstream-") as name:
        build = prepare(target, clock_mhz or target.clock_mhz, Path(name))
        for title, run in steps(build, Path(name)):
            problems = list(run())
            print(f"{target.name}: {'FAIL' if problems else 'ok  '} {title}", flush=True)
            for line in problems:
                print(f"    {line}", file=sys.stderr)
            found += problems
            if problems:
                break  # the later checks build on this one
    return found


def main(arguments: list[str] | None = None) -> int:
    """Check one board, or all; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m hw.vivado.check", description=__doc__)
    parser.add_argument("--board", choices=list(BOARDS), help="one board only")
    parser.add_argument("--clock-mhz", type=float, help="fabric clock")
    options = parser.parse_args(arguments)
    try:
        boards = [board(options.board)] if options.board else list(BOARDS.values())
        return int(any([check(item, options.clock_mhz) for item in boards]))
    except ContractError as error:
        print(f"bitstream-check: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
