"""Show a precision schedule: bits at every step, their mean, and what they save."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

from cpt.command_line import LONGEST, check_range
from cpt.hw.contract import ContractError
from cpt.model.bitops import mean_cost
from cpt.model.cyclic import SHAPES as CYCLIC
from cpt.model.cyclic import check_shape, cyclic
from cpt.model.schedule import Curve, Delayed, Plan, Progressive, RandomEvery, Static
from cpt.model.units import percent
from cpt.progress import note
from cpt.table import paragraph

SHAPES = (*CYCLIC, "progressive", "random")
_WIDTH = 64
"""Characters of the drawing."""
_RUNS = 12
"""Runs of equal bits that are drawn and listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--fw", type=int, nargs="+", default=[3, 8], metavar="BITS", help="lowest and highest"
    )
    parser.add_argument(
        "--bw", type=int, nargs="+", default=[8], metavar="BITS", help="the same for gradients"
    )
    parser.add_argument("--cycles", type=int, default=32, metavar="N", help="cycles in the run (default: 32)")
    parser.add_argument("--total", type=int, default=160, metavar="N", help="steps in the run (default: 160)")
    parser.add_argument("--shape", default="cosine", help=f"{', '.join(SHAPES)} (default: cosine)")
    parser.add_argument(
        "--start", type=int, default=0, metavar="STEP", help="cycles begin here; lowest before"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="random: steps between changes")
    parser.add_argument("--seed", type=int, default=0, help="random: which schedule")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the schedule."""
    check_range("total", arguments.total, 1, LONGEST)
    check_range("start", arguments.start, 0, LONGEST)
    try:
        plan = Plan(_curve("fw", arguments.fw, arguments), _curve("bw", arguments.bw, arguments))
        rows = [plan.bits(step) for step in range(arguments.total)]
    except ContractError:
        raise
    except ValueError as error:
        raise ContractError(str(error)) from None
    cost = mean_cost(plan, arguments.total)
    static = mean_cost(Plan(Static(plan.fw.highest), Static(plan.bw.highest)), 1)
    result: dict[str, Any] = {
        "fw": [fw for fw, _ in rows],
        "bw": [bw for _, bw in rows],
        "evaluation_bits": plan.evaluation_bits,
        "mean_bitops_per_mac": cost,
        "saving": 1 - cost / static,
    }
    if arguments.figure:
        made = [folder for folder in arguments.figure.absolute().parents if not folder.exists()]
        _draw(arguments.figure, rows)
        for folder in reversed(made):
            note(arguments, f"folder made: {folder}")
    if arguments.json:
        print(json.dumps(result))
        return 0
    for name, column in (("fw", result["fw"]), ("bw", result["bw"])):
        if len(set(column)) > 1:
            print(_picture(name, column))
        else:
            print(f"{name}: {column[0]} throughout")
    print(f"\nevaluation at {plan.evaluation_bits} bits")
    print(f"bit operations per multiply-accumulate, three passes: {cost:.1f}")
    print(f"saved against the upper bound throughout: {percent(result['saving'])}")
    if arguments.figure:
        print(f"figure: {arguments.figure}")
    return 0


def _curve(name: str, bits: list[int], arguments: argparse.Namespace) -> Curve:
    """The curve that the options ask for."""
    if arguments.shape not in SHAPES:
        check_shape(arguments.shape, SHAPES)
    if not 1 <= len(bits) <= 2:
        raise ContractError(f"{name} is {' '.join(map(str, bits))}; allowed: one or two bit-widths")
    if len(bits) == 1:
        return Static(bits[0])
    low, high = bits
    if arguments.shape in CYCLIC:
        return cyclic(arguments.shape, (low, high), arguments.cycles, arguments.total, arguments.start)
    length = arguments.total - arguments.start
    curve: Curve = Progressive(low, high, length)
    if arguments.shape == "random":
        curve = RandomEvery(low, high, length, arguments.every, arguments.seed)
    return Delayed(low, arguments.start, curve) if arguments.start else curve


def _picture(name: str, column: list[int]) -> str:
    """A line per precision, a character per step or group of steps, then the runs of equal bits."""
    runs = [(bits, len(list(same))) for bits, same in itertools.groupby(column)]
    span = len(column)
    if span > _WIDTH:
        span = min(span, max(_WIDTH, sum(count for _, count in runs[:_RUNS])))
    group = -(-span // _WIDTH)
    shown = column[:span:group]
    lines = [f"{name}: {len(column)} steps" + (f", the first {span} drawn" if span < len(column) else "")]
    for bits in range(max(column), min(column) - 1, -1):
        lines.append(f"{bits:3} " + "".join("#" if value == bits else " " for value in shown).rstrip())
    words = [f"{bits}x{count}" for bits, count in runs[:_RUNS]]
    listed = "bits x steps: " + " ".join(words) + (" ..." if len(runs) > _RUNS else "")
    lines.append(paragraph(listed, " " * 14))
    return "\n".join(lines)


def _draw(path: Path, rows: list[tuple[int, int]]) -> None:
    """The schedule as a figure (CPT Fig. 9)."""
    from cpt.model.figures.canvas import save
    from cpt.model.figures.schedule import draw_schedule

    try:
        save(draw_schedule(rows), path)
    except ValueError as error:
        raise ContractError(str(error)) from None
