"""Build a bitstream: ``python -m hw.vivado --board zc706``."""

import argparse
import sys
from pathlib import Path

from hw.contract import ContractError
from hw.contract.board import BOARDS, board
from hw.vivado.build import BuildError, prepare, require_vivado, run_vivado, write_manifest
from hw.vivado.checks.handoff import handoff_problems

OUTPUT = Path("build/bitstream")


def main() -> int:
    """Build one board's bitstream and check its handoff; 2 if it cannot start, 1 if it fails."""
    parser = argparse.ArgumentParser(prog="python -m hw.vivado", description=__doc__)
    parser.add_argument("--board", default="zc706", help=f"one of {', '.join(BOARDS)}")
    parser.add_argument("--clock-mhz", type=float, help="fabric clock (the board's own by default)")
    parser.add_argument("--jobs", type=int, default=4, help="parallel jobs of Vivado")
    parser.add_argument("-o", "--output", type=Path, help=f"folder for the results ({OUTPUT}/BOARD)")
    options = parser.parse_args()
    try:
        target = board(options.board)
        clock_mhz = options.clock_mhz or target.clock_mhz
        target.clock_divisors(clock_mhz)
        require_vivado()
    except (ContractError, BuildError) as error:
        print(f"bitstream: {error}", file=sys.stderr)
        return 2
    try:
        build = prepare(target, clock_mhz, options.output or OUTPUT / target.name, options.jobs)
        run_vivado(build)
        problems = handoff_problems(build.output / "cpt.hwh", target, clock_mhz)
        if problems:
            raise BuildError(f"cpt.hwh: {problems[0]}")
        print(f"bitstream: {write_manifest(build).parent}")
    except BuildError as error:
        print(f"bitstream: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
