"""Verilator's lint of the exported design; every warning is an error but the ones named here."""

from pathlib import Path

from cpt.hw.contract.ports import TOP
from cpt.model.scratch import Scratch
from cpt.sim.cells.models import HERE, MODELS
from cpt.sim.tool import ended
from cpt.sim.verilator import verilator_environment

WAIVERS = (
    ("DECLFILENAME", "*", "the dot-product unit and the rest share one file"),
    ("PROCASSINIT", "*", "Yosys writes power-up values as initialisers; the FPGA loads them"),
    ("CASEINCOMPLETE", "*", "Yosys assigns the default before the case statement"),
    ("UNUSEDSIGNAL", "*", "Amaranth names every intermediate and every field of a struct"),
    ("PINMISSING", "*missing pin: 'rst'*", "the dot-product unit has a reset port but no register uses it"),
    ("SYMRSVDWORD", "*", "names that only matter in C++"),
    ("WIDTHEXPAND", "*", "Yosys leaves zero extension to the language"),
    ("WIDTHTRUNC", "*LOGNOT expects 1 bit*", "Yosys writes `!x` for `x == 0`"),
)
"""Rule, pattern of the message, and why it may stand: habits of the generator, not of the design."""
DEADLINE_S = 300.0


def lint_problems(verilog: Path, top: str = TOP) -> list[str]:
    """What Verilator reports of module ``top`` beyond the waivers, at most ten lines."""
    rules = [f'lint_off -rule {rule} -file "*" -match "{pattern}"' for rule, pattern, _ in WAIVERS]
    rules.append(f'lint_off -file "{HERE}/*"')  # the models of the primitives are no part of the design
    with Scratch("lint") as scratch:
        waivers = scratch / "waivers.vlt"
        waivers.write_text("\n".join(["`verilator_config", *rules, ""]))
        command = ["verilator", "--lint-only", "-Wall", "--top-module", top, str(waivers)]
        command += [str(verilog.resolve()), *map(str, MODELS)]
        status, output = ended(command, scratch, DEADLINE_S, verilator_environment())
    if status is None:
        return [f"verilator took longer than {DEADLINE_S:g} s"]
    lines = [line for line in output.splitlines() if line.startswith("%")]
    return lines[:10] if status else []
