"""Proofs about the matrix unit from cells, by SAT (Yosys): ``python -m cpt.sim.unit_proof``.

Every way to add products and every chain of every plan gives the sum of the bits it reads; the count of the
narrow units is the number of ones; the accumulator in the DSP slice does what its four controls say from any
state; the narrowest unit equals the portable one by induction. Each layer of a wide unit hands every bit to
one chain (tests/test_hw_matrix_compressors.py), so its count is right because its chains are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from cpt.host.errors import HostError
from cpt.hw.contract import ContractError
from cpt.hw.contract.machine import count_latency_cycles
from cpt.hw.matrix.compressors import PINS, PLANS, POSITIONS, Netlist, add_chain, add_products, count_netlist
from cpt.sim.cells.models import CELLS, MODELS, PORTABLE, accumulator_source, unit_sources
from cpt.sim.synth.yosys import run

DEADLINE_S = 900.0
COUNTED = (9, 18)
"""Widths whose whole count is proven at once."""
INDUCED = 9
"""Width of the unit whose two forms are proven equal."""
COUNT_BITS = 8
"""Of the accumulator's input in its proof."""
REFERENCE = f"""
module reference (input clk, input [{COUNT_BITS - 1}:0] count, input clear, double_, take, subtract,
                  output reg [47:0] total);
  reg [{COUNT_BITS - 1}:0] c = 0;
  reg z = 0, d = 0, t = 0, s = 0;
  initial total = 0;
  wire [47:0] base = z ? 48'd0 : total;
  wire [47:0] other = (d ? total : 48'd0) + (t ? c : 48'd0);
  always @(posedge clk) begin
    {{c, z, d, t, s}} <= {{count, clear, double_, take, subtract}};
    total <= s ? base - other : base + other;
  end
endmodule
module both (input clk, input [{COUNT_BITS - 1}:0] count, input clear, double_, take, subtract);
  wire [47:0] p, r;
  accumulator cells (.clk(clk), .count(count), .clear(clear), .double_(double_), .take(take),
                     .subtract(subtract), .total(p));
  reference portable (.clk(clk), .count(count), .clear(clear), .double_(double_), .take(take),
                      .subtract(subtract), .total(r));
endmodule
"""


def combinational(net: Netlist, name: str) -> str:
    """A netlist as a Verilog module with inputs ``x`` and outputs ``y``, registers as wires."""
    signals = ["1'b0", "1'b1", *(f"x[{n}]" for n in range(net.inputs))]
    wires = [f"n{number}" for number in range(len(signals), net.signals)]
    signals += wires
    lines = [f"module {name} (input [{net.inputs - 1}:0] x, output [{len(net.outputs) - 1}:0] y);"]
    lines += [f"  wire {', '.join(wires)};"]
    for number, cell in enumerate(net.cells):
        if cell.kind == "FDRE":
            lines.append(f"  assign {signals[cell.outputs[0]]} = {signals[cell.inputs[0]]};")
            continue
        ports: dict[str, list[str]] = {}
        for pins, ends in zip(PINS[cell.kind], (cell.inputs, cell.outputs), strict=True):
            for pin, signal in zip(pins, ends, strict=True):
                ports.setdefault(pin.partition("[")[0], []).insert(0, signals[signal])
        table = f" #(.INIT(64'h{cell.init:016x}))" if cell.kind.startswith("LUT") else ""
        joined = ", ".join(f".{port}({{{', '.join(bits)}}})" for port, bits in ports.items())
        lines.append(f"  {cell.kind}{table} cell_{number} ({joined});")
    outputs = ", ".join(signals[signal] for signal in reversed(net.outputs))
    return "\n".join([*lines, f"  assign y = {{{outputs}}};", "endmodule", ""])


def _sum(terms: list[str]) -> str:
    return " + ".join(terms)


def count_miter(word_bits: int) -> str:
    """Whether the whole count of two words is the sum of their bits' products."""
    net = count_netlist(word_bits)
    want = _sum([f"(x[{n}] & x[{word_bits + n}])" for n in range(word_bits)])
    return _miter(net, want, [*range(len(net.outputs))])


def products_miter(size: int) -> str:
    """Whether ``size`` products are added rightly."""
    net = Netlist(2 * size)
    net.outputs = add_products(net, range(2, 2 + size), range(2 + size, 2 + 2 * size))
    return _miter(net, _sum([f"(x[{n}] & x[{size + n}])" for n in range(size)]), [0, 1])


def chain_miter(atoms: str) -> str:
    """Whether a chain gives the sum of the bits it reads."""
    weights: list[int] = [0] if atoms[0] == "c" else []
    place = 0
    for atom in atoms.removeprefix("c"):
        weights += [place] * int(atom) + ([place + 1] if atom == "4" else [])
        place += POSITIONS[atom]
    columns: list[list[int]] = [[] for _ in range(place + 1)]
    for number, weight in enumerate(weights):
        columns[weight].append(2 + number)
    net = Netlist(len(weights))
    given = add_chain(net, columns, 0, atoms)
    net.outputs = [bit for bits in given.values() for bit in bits]
    want = _sum([f"({1 << weight} * x[{number}])" for number, weight in enumerate(weights)])
    return _miter(net, want, [*given])


def _miter(net: Netlist, want: str, weights: list[int]) -> str:
    got = _sum([f"({1 << weight} * y[{number}])" for number, weight in enumerate(weights)])
    return (
        combinational(net, "part")
        + f"module miter (input [{net.inputs - 1}:0] x, output ok);\n"
        + f"  wire [{len(net.outputs) - 1}:0] y;\n  part part (.x(x), .y(y));\n"
        + f"  wire [15:0] want = {want};\n  wire [15:0] got = {got};\n"
        + "  assign ok = got == want;\nendmodule\n"
    )


def unit_miter() -> str:
    """Both forms of the unit on the same inputs; nothing clears and doubles at once."""
    pins = ["clear", "double", "count", "subtract", "capture"]
    names = ["clk", "clear", "double_", "count", "subtract", "capture"]
    driven = ["clear & ~double_", *names[2:]]
    wiring = ", ".join(
        [".clk(clk)", ".a(a)", ".b(b)"] + [f".{pin}({name})" for pin, name in zip(pins, driven, strict=True)]
    )
    units = "".join(f"  {module} {module} ({wiring});\n" for module in (PORTABLE, CELLS))
    ports = f"input {', '.join(names)}, input [{INDUCED - 1}:0] a, b"
    return unit_sources(INDUCED) + f"module both ({ports});\n{units}endmodule\n"


def proofs() -> Iterator[tuple[str, Callable[[], str], str, str]]:
    """Name of each proof, its source, the top module and the command that proves."""
    combined = "sat -verify -prove ok 1 miter"
    for size in (2, 3):
        yield f"sum of {size} products", partial(products_miter, size), "miter", combined
    chains = {atoms for plan in PLANS for layer in plan.layers for _, atoms in layer}
    for atoms in sorted(chains | {f"c{atom}" for atom in POSITIONS} | set(POSITIONS), key=len):
        yield f"chain {atoms}", partial(chain_miter, atoms), "miter", combined
    for word_bits in COUNTED:
        yield (
            f"count of {word_bits} bits",
            partial(count_miter, word_bits),
            "miter",
            combined,
        )
    yield (
        "accumulator in the DSP slice",
        lambda: accumulator_source(COUNT_BITS) + REFERENCE,
        "both",
        "sat -verify -tempinduct -prove p r both",
    )
    depth = count_latency_cycles(INDUCED) + 3
    yield (
        f"unit of {INDUCED} bits, portable and from cells",
        unit_miter,
        "both",
        f"sat -verify -tempinduct -seq {depth} -prove {PORTABLE}.total {CELLS}.total both",
    )


def prove(source: str, top: str, command: str) -> None:
    """`ContractError` with Yosys's last line unless ``command`` proves what it says about ``top``."""
    models = "".join(path.read_text(encoding="utf-8") for path in MODELS)
    steps = ["read_verilog -DCPT_ONLY_ARITHMETIC design.v", f"hierarchy -check -top {top}", "proc"]
    run(models + source, [*steps, "flatten", command], top, DEADLINE_S)


def main(arguments: list[str] | None = None) -> int:
    """Prove everything, a line each; the status."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.unit_proof", description=__doc__)
    parser.add_argument("--only", default="", help="proofs whose name contains this")
    chosen = parser.parse_args(arguments)
    failed = proven = 0
    for name, source, top, command in proofs():
        if chosen.only not in name:
            continue
        start = time.monotonic()
        try:
            prove(source(), top, command)
        except (ContractError, HostError) as error:
            failed += 1
            print(f"{name}: NOT proven: {error}", flush=True)
            continue
        proven += 1
        print(f"{name}: proven in {time.monotonic() - start:.0f} s", flush=True)
    if not proven + failed:
        print(f"unit_proof: only is {chosen.only!r}; allowed: a part of a proof's name", file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
