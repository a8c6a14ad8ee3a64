"""Draw the figures of finished training runs, and write an index of them.

Runs are found by their summary.json and metrics.jsonl, of the accelerator's trainer and of torch alike.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cpt.hw.contract import ContractError
from cpt.model.figures.canvas import FORMATS
from cpt.model.figures.history import find_histories
from cpt.model.figures.report import INDEX, double, write_report
from cpt.model.files import check_writable
from cpt.progress import note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt report``."""
    parser.add_argument(
        "runs", nargs="*", type=Path, default=[Path("runs")], metavar="DIR", help="runs, or folders of runs"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/report"), metavar="DIR", help="(default: runs/report)"
    )
    parser.add_argument(
        "--format", default="png", metavar="NAME", help=f"{', '.join(FORMATS)} (default: png)"
    )
    parser.add_argument("--json", action="store_true", help="the list of figures as one line")


def run(arguments: argparse.Namespace) -> int:
    """Draw and list."""
    if arguments.format not in FORMATS:
        raise ContractError(f"format is {arguments.format!r}; allowed: {', '.join(FORMATS)}")
    check_writable(arguments.out / INDEX)
    try:
        runs = find_histories(arguments.runs)
        entries = write_report(runs, arguments.out, arguments.format)
    except ValueError as error:
        raise ContractError(str(error)) from None
    index = arguments.out / INDEX
    for run in double(runs):
        note(arguments, f"left out of means: {run.folder}, whose settings and seed another run has too")
    if arguments.json:
        figures = [
            {"experiment": e.experiment, "kind": e.kind, "caption": e.caption, "path": str(e.path)}
            for e in entries
        ]
        print(json.dumps({"runs": len(runs), "index": str(index), "figures": figures}))
        return 0
    for entry in entries:
        print(f"{entry.path}  {entry.caption}")
    print(f"{len(runs)} runs, {len(entries)} figures: {index}")
    return 0
