"""Synthesise what the model of area is fitted to: ``python -m cpt.sim.area``.

Presets block by block, and single blocks of arrays that differ from them in a few numbers: an hour or more of
a processor; blocks that have not changed are taken again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.sim.area.model import FILE, GROWTH, VARYING
from cpt.sim.synth.__main__ import FORM
from cpt.sim.synth.apart import block_apart
from cpt.sim.synth.report import name_of
from cpt.sim.synth.yosys import yosys

TAKEN = ("luts", "flip_flops", "bram36", "dsp")
"""What is kept of a block."""


def wanted() -> list[tuple[ArrayConfig, tuple[str, ...]]]:
    """Arrays, and blocks of each; windows of middle lie in LUTs, those of a deeper one in block RAMs."""
    zc706, z7020, middle = (preset(name, STEP) for name in ("zc706", "z7020", "middle"))
    deep = replace(middle, name="middle-deep", a_depth_words=512, b_depth_words=1024)
    varying = (*(block for block in GROWTH if block in VARYING), "exec")
    return [
        (zc706, tuple(GROWTH)),
        (z7020, varying),
        (deep, varying),
        (replace(deep, name="middle-scratch", scratch_words=16384), ("scratch",)),
        (replace(z7020, name="z7020-float-4", float_lanes=4), ("local", "float")),
    ]


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """An entry of `FILE` for each array."""
    for config, blocks in wanted():
        found = {}
        for block in blocks:
            report = block_apart(config, block, FORM, folder / name_of(config))
            found[block] = {name: report[name] for name in TAKEN}
            print(f"{config.name} {block}: {report['luts']:,} LUT sites", flush=True)
        yield {"config": config.as_dict(), "blocks": found}


def text(found: list[dict[str, Any]]) -> str:
    """As the file has it: a line for each block."""
    arrays = []
    for item in found:
        blocks = ",\n".join(f'   "{name}": {json.dumps(taken)}' for name, taken in item["blocks"].items())
        arrays.append(f' {{"config": {json.dumps(item["config"])},\n  "blocks": {{\n{blocks}}}}}')
    return "[\n" + ",\n".join(arrays) + "\n]\n"


def main(arguments: list[str] | None = None) -> int:
    """Status 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.area", description=__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, default=FILE, metavar="FILE", help=f"default: {FILE.name}"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("build/synth"), metavar="DIR", help="blocks (build/synth)"
    )
    options = parser.parse_args(arguments)
    try:
        yosys()  # a missing program is told at once
        found = list(measured(options.folder))
    except ContractError as error:
        parser.error(str(error))
    options.output.write_text(text(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
