"""Closes property sets: Verilog-level netlist to SMT-LIB by Yosys, unrolled here, solved by Bitwuzla."""

from __future__ import annotations

import importlib
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from cpt.hw.contract import ContractError
from cpt.model.scratch import Scratch
from cpt.sim.formal.properties import DEMAND, REACH, Properties
from cpt.sim.synth.yosys import yosys
from cpt.sim.tool import ended

YOSYS_DEADLINE_S = 600.0
REACH_CYCLES = 40
"""How deep a cycle is looked for in which something happens."""
_WIRE = re.compile(r"^; yosys-smt2-wire (\S+) (\d+)$", re.MULTILINE)


class Undecided(Exception):
    """The solver or Yosys did not answer in time."""


@dataclass
class Outcome:
    """How a proof ended. ``kind``: "proven", "holds" (no counterexample as deep as looked), "fails",
    "undecided", "empty" (what must be possible is not, so that nothing is shown)."""

    kind: str
    depth: int
    demands: int
    seconds: float
    broken: tuple[str, ...] = ()
    """Demands that the counterexample breaks."""
    step: str = ""
    """Where: "start", from the initial state, or "induction", from a state that may be out of reach."""
    trace: list[dict[str, int]] = field(default_factory=list)
    """Values of all signals, cycle by cycle, of the counterexample."""


def solver_module() -> Any:
    """Bitwuzla's Python package; raises `ContractError` if it is missing."""
    try:
        return importlib.import_module("bitwuzla")
    except ImportError:
        raise ContractError("bitwuzla is not installed; allowed: pip install 'cpt-fpga[sim]'") from None


def smt2(properties: Properties) -> str:
    """The property set as SMT-LIB. Raises `Undecided`."""
    top = rtlil.convert(properties, name="top", ports=_ports(properties), emit_src=False)
    script = ["read_rtlil top.il", "hierarchy -check -top top", "proc", "flatten"]
    # Nothing is free but the harness's inputs; what is tied has lost its drivers, whatever its names are.
    script += ["check -assert", "memory_map"]
    for path in properties.tied:
        script += [f"cutpoint w:dut.{path}", f"setattr -unset init w:dut.{path}"]
    for path, signal in properties.peeks.items():
        script += [f"connect -set {signal.name} dut.{path}", f"delete -input w:{signal.name}"]
    script += ["chformal -lower", "async2sync", "opt_clean", "dffunmap"]
    script.append("write_smt2 -wires -stbv model.smt2")
    with Scratch("formal") as folder:
        (folder / "top.il").write_text(top)
        (folder / "run.ys").write_text("\n".join(script) + "\n")
        status, output = ended([yosys(), "-q", "run.ys"], folder, YOSYS_DEADLINE_S)
        if status is None:
            raise Undecided
        if status:
            raise ContractError(f"yosys failed: {(output.strip().splitlines() or ['no message'])[-1]}")
        return Path(folder / "model.smt2").read_text()


def _ports(properties: Properties) -> list[Any]:
    """Elaborates once, which is when the properties say what they need."""
    properties.elaborate(None)
    return properties.ports


class Unrolling:
    """Cycles 0, 1, 2, ... of a model, and a solver that knows their relation."""

    def __init__(self, model: str, deadline_s: float) -> None:
        bitwuzla = self._bitwuzla = solver_module()
        options = bitwuzla.Options()
        options.set(bitwuzla.Option.PRODUCE_MODELS, True)
        self._end = time.monotonic() + deadline_s
        self._parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
        self._tell("(set-logic QF_BV)\n" + model)
        self._solver = self._parser.bitwuzla()
        self._solver.configure_terminator(self._expired)
        self.wires = dict(_WIRE.findall(model))
        self.cycles = 0

    def _expired(self) -> bool:
        return time.monotonic() > self._end

    def _tell(self, text: str) -> None:
        self._parser.parse(text, False, False)

    def add(self) -> int:
        """One more cycle; returns its number."""
        cycle = self.cycles
        self._tell(
            f"(declare-const s{cycle} |top_s|)\n"
            f"(assert (|top_u| s{cycle}))\n(assert (|top_h| s{cycle}))\n"
            + (f"(assert (|top_t| s{cycle - 1} s{cycle}))\n" if cycle else "")
        )
        self.cycles += 1
        return cycle

    def start(self) -> None:
        """Cycle 0 is the initial state."""
        self._tell("(assert (|top_i| s0))")

    def believe(self, cycle: int) -> None:
        """All demands hold in ``cycle``."""
        self._tell(f"(assert (|top_a| s{cycle}))")

    def breaks(self, cycle: int) -> list[dict[str, int]] | None:
        """A trace in which a demand is broken in ``cycle``, or None if there is none."""
        self._tell(f"(push 1)\n(assert (not (|top_a| s{cycle})))")
        result = self._solver.check_sat()
        trace = None
        if result == self._bitwuzla.Result.SAT:
            trace = [self._values(at) for at in range(self.cycles)]
        elif result == self._bitwuzla.Result.UNKNOWN:
            raise Undecided
        self._tell("(pop 1)")
        return trace

    def can(self, name: str, cycle: int) -> bool:
        """Whether signal ``name`` can be 1 in ``cycle``."""
        self._tell(f"(push 1)\n(assert (|top_n {name}| s{cycle}))")
        result = self._solver.check_sat()
        self._tell("(pop 1)")
        if result == self._bitwuzla.Result.UNKNOWN:
            raise Undecided
        return bool(result == self._bitwuzla.Result.SAT)

    def _values(self, cycle: int) -> dict[str, int]:
        values = {}
        for name in self.wires:
            term = self._parser.parse_term(f"(|top_n {name}| s{cycle})")
            value = self._solver.get_value(term).value(10)
            values[name] = int(value)
        return values


def prove(
    properties: Properties,
    depth: int,
    *,
    induction: bool,
    deadline_s: float,
) -> Outcome:
    """Look at ``depth`` cycles from the start and, with ``induction``, at ``depth`` cycles from any state."""
    begin = time.monotonic()
    try:
        model = smt2(properties)
    except Undecided:
        return Outcome("undecided", 0, 0, time.monotonic() - begin)
    demands = sum(name.startswith(DEMAND) for name, _ in _WIRE.findall(model))

    def outcome(kind: str, at: int, trace: list[dict[str, int]] | None = None, step: str = "") -> Outcome:
        last = trace[-1] if trace else {}
        broken = tuple(sorted(n[len(DEMAND) :] for n, v in last.items() if n.startswith(DEMAND) and not v))
        return Outcome(kind, at, demands, time.monotonic() - begin, broken, step, trace or [])

    base, cycle = Unrolling(model, deadline_s), 0
    unreached = [name for name in base.wires if name.startswith(REACH)]
    try:
        for cycle in range(depth):
            base.add()
            if not cycle:
                base.start()
            if trace := base.breaks(cycle):
                return outcome("fails", cycle, trace, "start")
            base.believe(cycle)
            unreached = [name for name in unreached if not base.can(name, cycle)]
        # What the demands are about may need more cycles than their induction does.
        for cycle in range(depth, max(depth, REACH_CYCLES) if unreached else depth):
            base.add()
            unreached = [name for name in unreached if not base.can(name, cycle)]
            if not unreached:
                break
        if unreached:
            return Outcome("empty", cycle, demands, time.monotonic() - begin, tuple(unreached))
        if not induction:
            return outcome("holds", depth)
        step = Unrolling(model, deadline_s - (time.monotonic() - begin))
        for cycle in range(depth):
            step.add()
            if cycle < depth - 1:
                step.believe(cycle)
        if trace := step.breaks(depth - 1):
            return outcome("fails", depth, trace, "induction")
        return outcome("proven", depth)
    except Undecided:
        return outcome("undecided", cycle)
