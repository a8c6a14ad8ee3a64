"""Verilog of a preset: ``python -m cpt.hw.export --preset tiny -o DIR``."""

import argparse
from pathlib import Path

from cpt.hw.contract import MACHINES, PRESETS, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.hw.export import export


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cpt.hw.export", description=__doc__)
    parser.add_argument("--preset", default="zc706", help=f"array shape: {', '.join(PRESETS)}")
    parser.add_argument("--machine", default=STEP, help=f"{', '.join(MACHINES)} (default: {STEP})")
    parser.add_argument("--build-id", type=int, default=0, help="what register BUILD_ID reads")
    parser.add_argument("-o", "--output", required=True, type=Path, help="directory to write into")
    options = parser.parse_args()
    try:
        config = preset(options.preset, options.machine)
    except ContractError as error:
        parser.error(str(error))
    print(export(config, options.output, build_id=options.build_id))


if __name__ == "__main__":
    main()
