"""Open synthesis of presets and the timing rule: ``python -m cpt.sim.synth --preset all``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cpt.hw.contract import MACHINES, PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import MATRIX, STEP
from cpt.hw.export import accelerator_verilog, export_block, unit_verilog
from cpt.hw.matrix.unit import FORMS, MODULE_NAME
from cpt.model.scratch import Scratch
from cpt.sim.synth.apart import HEAD, blocks_apart, line_of, shares, sum_of
from cpt.sim.synth.budget import budgets, exceeded
from cpt.sim.synth.page import page, tables
from cpt.sim.synth.report import Report, block_report, name_of, report
from cpt.sim.synth.yosys import synthesise, yosys

ALL, BAD = "all", 1
FORM = "xc7" if "xc7" in FORMS else FORMS[0]
"""Of the unit: the one for the part, where there is one."""


def main(arguments: list[str] | None = None) -> int:
    """Status 1 if a budget is exceeded, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.synth", description=__doc__)
    parser.add_argument("--preset", default=ALL, help=f"{', '.join(PRESETS)} or {ALL} (default: {ALL})")
    parser.add_argument(
        "--machine", default=STEP, help=f"what is synthesised: {', '.join(MACHINES)} (default: {STEP})"
    )
    parser.add_argument("--block", metavar="NAME", help="only this block of the preset, on its own")
    parser.add_argument(
        "--docs", metavar="FILE", type=Path, help=f"{MATRIX}: write the tables, without the places, here"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("build/synth"), help="default: build/synth")
    options = parser.parse_args(arguments)
    try:
        yosys()  # a missing program is told at once
        names = list(PRESETS) if options.preset == ALL else [options.preset]
        configs = [preset(name, options.machine) for name in names]
        if options.block:
            return _block(options.block, configs)
        if options.machine == STEP:
            return _apart(configs, options.output)
        return _presets(configs, options.output, options.docs)
    except ContractError as error:
        parser.error(str(error))


def _block(name: str, configs: list[ArrayConfig]) -> int:
    """Synthesise one block and print its figures."""
    for config in configs:
        with Scratch("block") as folder:
            if name == "unit":  # in the form that the part gets
                top, verilog = MODULE_NAME, unit_verilog(config, FORM)
            else:
                top = export_block(name, config, folder, FORM)
                verilog = (folder / f"{name}.v").read_text()
            found = block_report(synthesise(verilog, top))
        lines = found.pop("broken")
        print(f"{name_of(config)}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
        for line in lines:
            print(f"    {line}")
    return 0


def _apart(configs: list[ArrayConfig], output: Path) -> int:
    """Synthesise each block on its own, and print what they take together: the whole is too much at once."""
    problems: list[str] = []
    for config in configs:
        name, found = name_of(config), []
        print(f"{name}\n{HEAD}", flush=True)
        for block in blocks_apart(config, FORM, output / name):
            found.append(block)
            print(line_of(block), flush=True)
        whole = sum_of(config, found)
        (output / f"{name}.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        print("\n".join(shares(whole)))
        problems += exceeded(whole, budgets().get(name, {}))
    for line in problems:
        print(line, file=sys.stderr)
    return BAD if problems else 0


def _presets(configs: list[ArrayConfig], output: Path, docs: Path | None) -> int:
    """Write the JSON of each preset, the page of all, and its tables into ``docs`` as well."""
    output.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    problems: list[str] = []
    limits, written = budgets(), output / "index.md"
    for config in configs:
        found = report(config, synthesise(accelerator_verilog(config, form=FORM)))
        name = name_of(config)
        (output / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        reports.append(found)
        lines = exceeded(found, limits.get(name, {}))
        problems += lines
        print(
            f"{name}: {found['lut']:,} LUT sites, {found['ff']:,} flip-flops, {found['dsp']} DSP48E1, "
            f"{found['bram36']:g} BRAM36; {found['lut_per_binmac_unit']:.2f} LUT per binary MAC in a unit, "
            f"{found['lut_per_binmac_array']:.2f} in the array; worst path {found['worst_nets']} nets, "
            f"{found['worst_path_ps']} ps of cells; rule {'held' if found['timing_rule_held'] else 'broken'}",
            flush=True,
        )
        for line in lines:
            print(f"    {line}", file=sys.stderr)
        written.write_text(page(reports, problems), encoding="utf-8")
        if docs is not None:
            docs.write_text(tables(reports), encoding="utf-8")
    print(f"page: {written}; a rule held is not a clock met")
    return BAD if problems else 0


if __name__ == "__main__":
    sys.exit(main())
