"""The page of all presets: `build/synth/index.md`."""

from __future__ import annotations

from collections.abc import Iterable

from cpt.sim.synth.report import CLOCKS_MHZ, Report
from cpt.sim.synth.rule import CARRY_PS, FIXED_PS, NET_PS

SHOWN = 60
"""Places of a preset that break the rule and are written out; the JSON has all."""


def page(reports: list[Report], exceeded: list[str]) -> str:
    """Markdown: summary, blocks, budget, places where the rule is broken."""
    budget = "\n".join(f"- {line}" for line in exceeded) or "Nothing exceeds `sim/synth/budget.json`."
    places = (part for report in reports for part in _places(report))
    return "\n\n".join([tables(reports).rstrip(), "## Budget", budget, *places]) + "\n"


def tables(reports: list[Report]) -> str:
    """Markdown: the figures alone, for the documentation."""
    parts = [
        "# Synthesis",
        f"By `make synth`, {reports[0]['program']}, before placement: no wire is known, so **a rule held is "
        "not a clock met**. LUTs are sites; cell delays are those of Yosys's library. Rule and reasons: "
        "docs/board.md.",
        summary(reports),
        f"Longest paths: {FIXED_PS} ps for clock-to-output, set-up and skew, {NET_PS} ps assumed for each "
        f"net, {CARRY_PS} ps for each CARRY4.",
        *(part for report in reports for part in _blocks(report)),
    ]
    return "\n\n".join(parts) + "\n"


def summary(reports: list[Report]) -> str:
    """One column a preset."""
    rows: list[tuple[str, Iterable[str]]] = [
        ("part", (report["part"] for report in reports)),
        ("LUT sites", (_share(report, "lut") for report in reports)),
        ("flip-flops", (_share(report, "ff") for report in reports)),
        ("CARRY4", (f"{report['carry4']:,}" for report in reports)),
        ("DSP48E1", (_share(report, "dsp") for report in reports)),
        ("BRAM36", (_share(report, "bram36") for report in reports)),
        ("LUT sites of a unit", (str(report["lut_unit"]) for report in reports)),
        ("LUT per binary MAC, unit", (f"{report['lut_per_binmac_unit']:.2f}" for report in reports)),
        ("LUT per binary MAC, array with result path", (f"{r['lut_per_binmac_array']:.2f}" for r in reports)),
        ("worst path, LUT levels", (str(report["worst_lut_levels"]) for report in reports)),
        ("worst path, cell delay", (f"{report['worst_path_ps']:,} ps" for report in reports)),
        ("worst path, nets", (str(report["worst_nets"]) for report in reports)),
        ("largest fan-out, without clock and reset", (str(report["max_fanout"]) for report in reports)),
        ("timing rule", (_held(report) for report in reports)),
    ]
    head = [
        "| | " + " | ".join(report["preset"] for report in reports) + " |",
        "|---" * (len(reports) + 1) + "|",
    ]
    return "\n".join([*head, *(f"| {name} | " + " | ".join(values) + " |" for name, values in rows)])


def _share(report: Report, name: str) -> str:
    return f"{report[name]:,.10g} ({report[f'{name}_percent']:.0f} %)"


def _held(report: Report) -> str:
    return "held" if report["timing_rule_held"] else f"broken in {report['breaches']} places"


def _blocks(report: Report) -> Iterable[str]:
    yield f"## {report['preset']}"
    clocks = " | ".join(f"of {1e3 / mhz:.2f} ns ({mhz} MHz)" for mhz in CLOCKS_MHZ)
    head = (
        "| block | LUT sites | FF | CARRY4 | DSP | BRAM36 | nets inside | nets from elsewhere | nets through "
        f"| largest fan-out | longest path | {clocks} | rule |"
    )
    lines = [head, "|---" * (12 + len(CLOCKS_MHZ) - 1) + "|"]
    for name, block in report["blocks"].items():
        ns = block["estimate_ps"] / 1e3
        times = " | ".join(f"{ns * mhz / 1e3:.0%}" for mhz in CLOCKS_MHZ)
        lines.append(
            f"| {name} | {block['luts']:,} | {block['flip_flops']:,} | {block['carry4']:,} | {block['dsp']} "
            f"| {block['bram36']:g} | {block['nets_inside']} | {block['nets_leaving']} "
            f"| {block['nets_through']} | {block['max_fanout']} | {ns:.2f} ns | {times} "
            f"| {'held' if block['timing_rule_held'] else 'broken'} |"
        )
    yield "\n".join(lines)


def _places(report: Report) -> Iterable[str]:
    if report["broken"]:
        shown = report["broken"][:SHOWN]
        more = len(report["broken"]) - len(shown)
        yield f"## Where {report['preset']} breaks the rule"
        yield "\n".join(f"- {item['line']}" for item in shown) + (f"\n- and {more} more" if more else "")
