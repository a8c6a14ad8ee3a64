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
    (
        "WIDTHTRUNC",
        "*RHS's SHIFTR generates*",
        "a table is a constant, shifted by an index, of which a bit is taken",
    ),
    ("WIDTHTRUNC", "*RHS's COND generates 32*", "Yosys spells out a signed division by a power of two"),
    ("WIDTHTRUNC", "*RHS's DIVS generates*", "the same"),
    ("ASCRANGE", "*[-1:0]*", "Yosys writes so a signal without bits, which nothing reads"),
    ("VARHIDDEN", "*", "a signal is called as the block that holds its block"),
    ("CMPCONST", "*", "a limit that no value of a preset's width passes"),
    ("UNSIGNED", "*", "the same"),
    ("ALWNEVER", "*", "Yosys writes a process for what is constant"),
    ("UNDRIVEN", "*'slot'*", "a structure's fields that nothing reads"),
    (
        "UNOPTFLAT",
        "*",
        "fields of a structure that follow from each other; no loop of gates, which synthesis would tell",
    ),
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
