"""Critical periods: train with few bits in a window of the run, and see where that does lasting harm.

Wolfe and Kyrillidis (arXiv 2403.02243) ask this with windows at the start and inside of a run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpt.command_line import LONGEST, check_range
from cpt.hw.contract import ContractError
from cpt.model.files import check_writable, write_atomically
from cpt.model.run_folder import CHECKPOINT, SUMMARY, locked
from cpt.model.units import metric
from cpt.paired import interval
from cpt.progress import note
from cpt.table import align, paragraph
from cpt.torch_device import add_device_options, chosen_device
from cpt.torch_tasks import add_task_options

if TYPE_CHECKING:
    from cpt.model.training import Task, TorchConfig

FIELDS = (
    *("model", "width", "fw", "bw", "epochs", "steps", "batch_size", "micro_batch", "quantiser"),
    *("quantiser_options", "optimiser", "lr", "lr_schedule", "momentum", "weight_decay", "clip"),
    *("sequence", "max_shift", "seed"),
)
"""Options of ``cpt train`` that the runs have too."""
TABLE, FIGURE = "critical.json", "critical.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt critical``."""
    add_task_options(parser, FIELDS)
    test = parser.add_argument_group("windows")
    test.add_argument(
        "--lengths",
        type=float,
        nargs="+",
        default=[0.25, 0.5],
        metavar="SHARE",
        help="of the run (default: 0.25 0.5)",
    )
    test.add_argument(
        "--places", type=int, default=4, metavar="N", help="from the run's start to its end (default: 4)"
    )
    test.add_argument("--seeds", type=int, default=3, metavar="N", help="from --seed on (default: 3)")
    add_device_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/critical"), metavar="DIR", help="(default: runs/critical)"
    )
    parser.add_argument("--json", action="store_true", help="the rows as one line")


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, print and draw."""
    import torch

    from cpt.model.figures.canvas import save
    from cpt.model.figures.critical import draw_critical
    from cpt.torch_train import make_task

    check_range("places", arguments.places, 1, LONGEST)
    check_range("seeds", arguments.seeds, 1, LONGEST)
    for share in arguments.lengths:
        if not 0 < share <= 1:
            raise ContractError(f"lengths is {share}; allowed: above 0, at most 1")
    device = chosen_device(arguments)
    torch.set_num_threads(arguments.threads)
    for name in (TABLE, FIGURE):
        check_writable(arguments.out / name)
    try:
        config, task = make_task(arguments)
        if config.fw[0] == config.fw[1]:
            raise ValueError(
                f"fw is {config.fw[0]}; allowed: two different bounds, the bits in the window first"
            )
        rows = _rows(arguments, config, task, device.type)
    except ValueError as error:
        raise ContractError(str(error)) from None
    experiment = f"{config.model} on {task.name}"
    found = {"experiment": experiment, "metric": task.metric, "config": config.as_dict(), "rows": rows}
    write_atomically(arguments.out / TABLE, (json.dumps(found) + "\n").encode())
    save(draw_critical(rows, experiment, task.metric), arguments.out / FIGURE)
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(_render(rows, experiment, config, task.metric))
        print(f"files: {arguments.out / TABLE}, {arguments.out / FIGURE}")
    return 0


def _rows(
    arguments: argparse.Namespace, config: TorchConfig, task: Task, device: str
) -> list[dict[str, Any]]:
    """A row for each window, the run without one first; differences are those of equal seeds."""
    total = config.plan_length(task.steps_per_epoch(config.batch_size))
    seeds = [config.seed + number for number in range(arguments.seeds)]
    rows: list[dict[str, Any]] = []
    for start, length in _windows(total, arguments.lengths, arguments.places):
        values = []
        for seed in seeds:
            own = dataclasses.replace(
                config, method="window", window_start=start, window_length=length, seed=seed
            )
            folder = arguments.out / f"{length}-from-{start}-{seed}"
            note(arguments, f"cpt critical: {length} of {total} from {start}, seed {seed}")
            values.append(_trained(own, task, folder, device))
        gains = [
            value - none for value, none in zip(values, rows[0]["values"] if rows else values, strict=True)
        ]
        rows.append(
            {
                "start": start,
                "length": length,
                "total": total,
                "values": values,
                "mean": statistics.mean(values),
                "difference": interval(gains) if rows else None,
            }
        )
    return rows


def _windows(total: int, shares: Sequence[float], places: int) -> list[tuple[int, int]]:
    """(start, length) of every window in epochs or steps, none twice; (0, 0) is the run without one."""
    found = [(0, 0)]
    for share in sorted(set(shares)):
        length = max(round(share * total), 1)
        for place in range(places):
            start = round((total - length) * place / max(places - 1, 1))
            if (start, length) not in found:
                found.append((start, length))
    return found


def _trained(config: TorchConfig, task: Task, folder: Path, device: str) -> float:
    """The test figure of a run, which goes on where it was stopped."""
    import torch

    from cpt.model import checkpoint
    from cpt.model.json_files import read_object
    from cpt.model.training import TorchRun, TorchTrainer
    from cpt.model.training.distributed import Processes

    with locked(folder):
        if (folder / SUMMARY).is_file():
            summary = read_object(folder / SUMMARY)
            recorded = summary.get("config")
            same = isinstance(recorded, dict) and config.difference(recorded) is None
            if not same or summary.get("dataset_sha256") != task.sha256():
                raise ValueError(f"{folder} holds a run of other settings; allowed: --out for another folder")
            return float(summary[task.metric])
        training = TorchRun("window", TorchTrainer(config, task, Processes(torch.device(device))), folder)
        if checkpoint.exists(folder / CHECKPOINT):
            training.resume()
        else:
            training.start()
        return float(training.train()[task.metric])


def _render(rows: Sequence[dict[str, Any]], experiment: str, config: TorchConfig, name: str) -> str:
    shown, unit = metric(name), "epochs" if config.per_epoch() else "steps"
    low, high = config.fw
    cells = [("from", "to", f"test {shown.name}", "difference", "95 % interval")]
    for row in rows:
        ends = f"{row['start']}", f"{row['start'] + row['length']}"
        gain = ("", "")
        if row["difference"]:
            mean, first, last = row["difference"]
            gain = shown.difference(mean), f"{shown.difference(first)} .. {shown.difference(last)}"
        cells.append((*(ends if row["length"] else ("", "none")), shown.text(row["mean"]), *gain))
    title = (
        f"{experiment}: {low} bits in a window of {rows[0]['total']} {unit}, {high} outside; "
        f"{len(rows[0]['values'])} seeds"
    )
    return f"{paragraph(title)}\n\n{align(cells)}"
