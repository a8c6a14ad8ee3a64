"""Open synthesis of presets and the timing rule: ``python -m cpt.sim.synth --preset all``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.export import accelerator_verilog, export_block
from cpt.hw.matrix.unit import FORMS
from cpt.model.scratch import Scratch
from cpt.sim.synth.budget import budgets, exceeded
from cpt.sim.synth.page import page
from cpt.sim.synth.report import Report, block_report, report
from cpt.sim.synth.yosys import synthesise, yosys

ALL, BAD = "all", 1
FORM = "xc7" if "xc7" in FORMS else FORMS[0]
"""Of the unit: the one for the part, where there is one."""


def main() -> int:
    """Status 1 if a budget is exceeded, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.synth", description=__doc__)
    parser.add_argument("--preset", default=ALL, help=f"{', '.join(PRESETS)} or {ALL} (default: {ALL})")
    parser.add_argument("--block", metavar="NAME", help="only this block of the preset, on its own")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/synth"), help="default: build/synth")
    options = parser.parse_args()
    try:
        yosys()  # a missing program is told at once
        configs = list(PRESETS.values()) if options.preset == ALL else [preset(options.preset)]
        if options.block:
            return _block(options.block, configs)
        return _presets(configs, options.output)
    except ContractError as error:
        parser.error(str(error))


def _block(name: str, configs: list[ArrayConfig]) -> int:
    """Synthesise one block and print its figures."""
    for config in configs:
        with Scratch("block") as folder:
            top = export_block(name, config, folder)
            found = block_report(synthesise((folder / f"{name}.v").read_text(), top))
        lines = found.pop("broken")
        print(f"{config.name}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
        for line in lines:
            print(f"    {line}")
    return 0


def _presets(configs: list[ArrayConfig], output: Path) -> int:
    """Write the JSON of each preset and the page of all."""
    output.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    problems: list[str] = []
    limits = budgets()
    for config in configs:
        found = report(config, synthesise(accelerator_verilog(config, form=FORM)))
        (output / f"{config.name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        reports.append(found)
        lines = exceeded(found, limits.get(config.name, {}))
        problems += lines
        print(
            f"{config.name}: {found['lut']:,} LUT sites, {found['ff']:,} flip-flops, {found['dsp']} DSP48E1, "
            f"{found['bram36']:g} BRAM36; {found['lut_per_binmac_unit']:.2f} LUT per binary MAC in a unit, "
            f"{found['lut_per_binmac_array']:.2f} in the array; worst path {found['worst_nets']} nets, "
            f"{found['worst_path_ps']} ps of cells; rule {'held' if found['timing_rule_held'] else 'broken'}",
            flush=True,
        )
        for line in lines:
            print(f"    {line}", file=sys.stderr)
        (output / "index.md").write_text(page(reports, problems), encoding="utf-8")
    print(f"page: {output / 'index.md'}; a rule held is not a clock met")
    return BAD if problems else 0


if __name__ == "__main__":
    sys.exit(main())
