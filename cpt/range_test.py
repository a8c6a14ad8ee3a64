"""Precision range test: train a network while its bits rise, and give the lowest it still learns at.

Writes curve.json and a figure (CPT Fig. 4).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cpt.hw.contract import ContractError
from cpt.model.figures.canvas import save
from cpt.model.figures.range_curve import draw_range_curve
from cpt.model.files import check_writable, write_atomically
from cpt.model.range_test import RangeTest, RangeTestResult
from cpt.model.training.distributed import Processes
from cpt.model.training.range_test import find_bounds, guessing
from cpt.model.units import metric
from cpt.table import align, paragraph
from cpt.torch_device import add_device_options, chosen_device
from cpt.torch_tasks import add_task_options
from cpt.torch_train import make_task

CURVE, FIGURE = "curve.json", "curve.png"
FIELDS = (
    "model",
    "width",
    "batch_size",
    "micro_batch",
    "quantiser",
    "quantiser_options",
    "optimiser",
    "lr",
    "momentum",
    "weight_decay",
    "clip",
    "sequence",
    "max_shift",
    "seed",
)
"""Options of ``cpt train`` that the test has too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt range-test``."""
    add_task_options(parser, FIELDS)
    test = parser.add_argument_group("test")
    default = RangeTest()
    test.add_argument(
        "--bits", type=int, nargs=2, default=list(default.bits), metavar="BITS", help="tested (default: 2 8)"
    )
    for name, kind, text in (
        ("bw", int, "bits of gradients"),
        ("steps", int, "training steps at each precision"),
        ("window", int, "last steps of a precision whose mean accuracy counts"),
        ("threshold", float, "gain in accuracy, of 1, that makes a precision the lower bound"),
    ):
        value = getattr(default, name)
        test.add_argument(
            f"--{name}", type=kind, default=value, metavar="X", help=f"{text} (default: {value})"
        )
    test.add_argument("--chance", type=float, metavar="X", help="accuracy of guessing (default: 1 / classes)")
    add_device_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/range-test"), metavar="DIR", help="(default: runs/range-test)"
    )
    parser.add_argument("--json", action="store_true", help="the result as one line")


def run(arguments: argparse.Namespace) -> int:
    """Test, print and draw."""
    device = chosen_device(arguments)
    steps, bw = arguments.steps, arguments.bw
    for name in (CURVE, FIGURE):
        check_writable(arguments.out / name)
    try:
        config, task = make_task(argparse.Namespace(**{**vars(arguments), "steps": None, "bw": None}))
        chance = guessing(task) if arguments.chance is None else arguments.chance
        lo, hi = arguments.bits
        settings = RangeTest((lo, hi), steps, arguments.window, arguments.threshold, chance, bw)
        result = find_bounds(config, task, settings, Processes(device))
    except ValueError as error:
        raise ContractError(str(error)) from None
    found = as_dict(result, f"{config.model} on {task.name}", config.as_dict())
    write_result(result, found, arguments.out)
    if arguments.json:
        print(json.dumps({name: value for name, value in found.items() if name != "curve"}))
    else:
        print(_render(result, found["experiment"]))
        print(f"files: {arguments.out / CURVE}, {arguments.out / FIGURE}")
    return 0


def write_result(result: RangeTestResult, found: dict[str, Any], folder: Path) -> None:
    """Write curve.json, which is ``found``, and the figure."""
    write_atomically(folder / CURVE, (json.dumps(found) + "\n").encode())
    window = result.settings.window
    figure = draw_range_curve(result.curve, result.accuracies, window, result.lower_bound)
    save(figure, folder / FIGURE)


def as_dict(result: RangeTestResult, experiment: str, config: dict[str, Any]) -> dict[str, Any]:
    """The result as JSON has it."""
    settings = result.settings
    return {
        "experiment": experiment,
        "lower_bound": result.lower_bound,
        "bits": list(settings.bits),
        "bw": settings.bw,
        "steps": settings.steps,
        "window": settings.window,
        "threshold": settings.threshold,
        "chance": settings.chance,
        "accuracies": list(result.accuracies),
        "improvements": list(result.improvements),
        "passed": result.passed,
        "config": config,
        "curve": [list(point) for point in result.curve],
    }


def _render(result: RangeTestResult, experiment: str) -> str:
    settings = result.settings
    rows = [("bits", "training accuracy", "gain")]
    lo, hi = settings.bits
    shown = metric("accuracy")
    for bits, accuracy, gain in zip(range(lo, hi + 1), result.accuracies, result.improvements, strict=True):
        rows.append((str(bits), shown.text(accuracy), shown.difference(gain)))
    verdict = (
        f"lower bound: {result.lower_bound} bits, the first to gain {100 * settings.threshold:g} points"
        if result.passed
        else f"lower bound: none gains {100 * settings.threshold:g} points; {hi} bits, the highest tested"
    )
    title = (
        f"{experiment}: {settings.steps} steps at each precision, accuracy of the last {settings.window}, "
        f"gradients {settings.bw} bits"
    )
    return f"{paragraph(title)}\n\n{align(rows)}\n{paragraph(verdict)}"
