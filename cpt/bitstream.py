"""Build a board's bitstream with Vivado, or check all that can be checked without it."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path

from cpt.hw.contract import PRESETS, ContractError
from cpt.hw.contract.board import BOARDS, Board, board
from cpt.progress import note

OUTPUT = Path("build/bitstream")
BAD = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt bitstream``."""
    parser.add_argument("--board", metavar="NAME", help=f"{', '.join(BOARDS)} (default: zc706; --check: all)")
    parser.add_argument(
        "--preset", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: the board's)"
    )
    parser.add_argument("--clock-mhz", type=float, metavar="MHZ", help="fabric clock (default: the board's)")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="Vivado jobs (default: 4)")
    parser.add_argument("--out", type=Path, default=OUTPUT, metavar="DIR", help=f"default: {OUTPUT}")
    parser.add_argument(
        "--synthesis",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--check: count resources with Yosys too, which takes minutes (default: yes)",
    )
    parser.add_argument("--check", action="store_true", help="check everything without Vivado, build nothing")


def run(arguments: argparse.Namespace) -> int:
    """Build or check; exit status 1 if a check fails or Vivado does."""
    if arguments.clock_mhz is not None and not 0 < arguments.clock_mhz < math.inf:
        raise ContractError(f"clock-mhz is {arguments.clock_mhz:g}; allowed: above 0")
    if arguments.check:
        from cpt.sim.synth.yosys import yosys
        from cpt.sim.vivado.check import check

        names = [arguments.board] if arguments.board else list(BOARDS)
        targets = [_target(name, arguments) for name in names]
        if arguments.synthesis:
            yosys()  # a missing program is told at once
            note(arguments, "checking, then counting resources with Yosys: several minutes for each board")
        problems = [
            line for target in targets for line in check(target, arguments.clock_mhz, arguments.synthesis)
        ]
        return BAD if problems else 0
    return _build(_target(arguments.board or "zc706", arguments), arguments)


def _target(name: str, arguments: argparse.Namespace) -> Board:
    """The board called ``name``, with the array that was asked for in place of its own."""
    found = board(name)
    return dataclasses.replace(found, preset=arguments.preset or found.preset)


def _build(target: Board, arguments: argparse.Namespace) -> int:
    from cpt.hw.vivado.build import BuildError, prepare, require_vivado, run_vivado, write_manifest
    from cpt.sim.vivado.checks.handoff import handoff_problems

    clock_mhz = target.clock_mhz if arguments.clock_mhz is None else arguments.clock_mhz
    target.clock_divisors(clock_mhz)
    require_vivado()
    try:
        build = prepare(target, clock_mhz, arguments.out / target.name, arguments.jobs)
        run_vivado(build)
        for line in handoff_problems(build.output / "cpt.hwh", target, clock_mhz):
            raise BuildError(f"cpt.hwh: {line}")
        print(f"bitstream and reports: {write_manifest(build).parent}")
    except BuildError as error:
        print(f"cpt bitstream: {error}", file=sys.stderr)
        return BAD
    return 0
