"""Train every method on the bundled real data over many seeds, and write docs/results.md."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpt.data import DIGITS
from cpt.hw.contract import ContractError
from cpt.model.files import check_writable, write_atomically
from cpt.model.run_folder import CHECKPOINT, locked
from cpt.results_page import interval, page

if TYPE_CHECKING:
    from cpt.model.training import Task, TorchConfig

NICENESS = 19
MAIN_ROWS = ("static", "CPT")
RUNS = Path("runs/results")
PAGE = Path("docs/results.md")


@dataclass(frozen=True)
class Row:
    """One method with its settings, over so many seeds; ``base``: the row it is compared with."""

    name: str
    seeds: int
    settings: dict[str, Any] = field(default_factory=dict)
    base: str = "static"


@dataclass(frozen=True)
class Section:
    """One task and its methods."""

    name: str
    title: str
    data: str
    settings: dict[str, Any]
    rows: tuple[Row, ...]


_STATIC = {"method": "static"}


def _rows_of_methods(
    main_seeds: int, seeds: int, ldp_lr: float = 2.0, **pfq: tuple[int, ...]
) -> tuple[Row, ...]:
    """Every method; static and CPT over ``main_seeds`` seeds. ``pfq``: its stages."""
    return (
        Row("static", main_seeds, _STATIC),
        Row("CPT", main_seeds),
        Row("FP32", seeds, {"method": "fp32"}),
        Row("PFQ", seeds, {"method": "pfq", **pfq}),
        Row("LDP", seeds, {"method": "ldp", "ldp_lr": ldp_lr}),
        Row("static, cyclic learning rate", seeds, {**_STATIC, "lr_schedule": "cyclic"}),
        *_rows_of_quantisers(seeds),
    )


def _rows_of_quantisers(seeds: int) -> Iterator[Row]:
    """Static and CPT with every quantiser but CPT's own that the papers' tables have."""
    from cpt.model.quantisers import DEFAULT, quantiser_kind, quantiser_names
    from cpt.model.training import TorchConfig
    from cpt.torch_train import OF_OPTIMISER

    for name in quantiser_names(lambda kind: kind.title and kind.name != DEFAULT):
        kind = quantiser_kind(name)
        settings: dict[str, Any] = {"quantiser": name}
        if kind.optimiser_kind:
            settings |= {field: getattr(TorchConfig(), field) for field in OF_OPTIMISER}
            settings["optimiser"] = kind.optimiser_kind
        yield Row(f"{kind.title} static", seeds, _STATIC | settings)
        yield Row(f"{kind.title} CPT", seeds, settings, f"{kind.title} static")


@functools.cache
def sections() -> tuple[Section, ...]:
    """All tasks of the page."""
    return (
        Section(
            "images",
            "Images: handwritten digits, ResNet-8",
            DIGITS,
            {"model": "resnet8", "width": 16, "epochs": 18, "fw": (3, 8)},
            _rows_of_methods(10, 10),
        ),
        Section(
            "language",
            "Language: Python's help topics by character, two-layer Transformer",
            "python-text",
            {
                "model": "transformer2",
                "width": 64,
                "epochs": 6,
                "fw": (4, 8),
                "cycles": 8,
                "per": "iteration",
                "optimiser": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.01,
                "clip": 1.0,
            },
            _rows_of_methods(5, 3, pfq_fw=(4, 5, 6, 8)),
        ),
        Section(
            "super-resolution",
            "Super-resolution by 4: photographs, PAN with 2 blocks",
            "photographs",
            {
                "model": "pan2",
                "width": 16,
                "epochs": 12,
                "batch_size": 16,
                "fw": (8, 16),
                "bw": (16, 16),
                "cycles": 8,
                "per": "iteration",
                "optimiser": "adam",
                "lr": 4e-3,
                "weight_decay": 0.0,
            },
            # At 16 bits the loss hardly depends on the step size: gradients of the bits are a millionth.
            _rows_of_methods(5, 3, ldp_lr=1e6, pfq_fw=(8, 10, 12, 16), pfq_bw=(16, 16, 16, 16)),
        ),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=RUNS, metavar="DIR", help=f"runs (default: {RUNS})")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help=f"page (default: {PAGE})")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument(
        "--render-only", action="store_true", help="train nothing: write the page from the runs there are"
    )
    parser.add_argument("--json", action="store_true", help="the rows as one line on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, then write the page. Interrupted runs are resumed."""
    if arguments.threads < 1:
        raise ContractError(f"threads is {arguments.threads}; allowed: at least 1")
    check_writable(arguments.page)
    for section in sections():  # before hours of training, not after
        _rows(section, arguments.out)
    if not arguments.render_only:
        with contextlib.redirect_stdout(sys.stderr):
            _train_all(arguments.out, arguments.threads)
    tables = [(section, _rows(section, arguments.out)) for section in sections()]
    if not any(rows for _, rows in tables):
        raise ContractError(
            f"{arguments.out} holds no finished run for the page; allowed: --out with runs, or no "
            "--render-only (hours)"
        )
    text = page((section.title, section.data, rows) for section, rows in tables)
    write_atomically(arguments.page, text.encode())
    if arguments.json:
        print(json.dumps([{"section": section.name, **row} for section, rows in tables for row in rows]))
    else:
        print(f"written: {arguments.page}")
    return 0


def _train_all(out: Path, threads: int) -> None:
    """Every run that has no result yet."""
    import torch

    os.nice(NICENESS - os.nice(0))
    torch.set_num_threads(threads)
    tasks: dict[str, Task] = {}
    for section, row, seed in _order():
        folder = out / section.name / f"{_slug(row.name)}-{seed}"
        if (folder / "summary.json").is_file():
            continue
        config = _config(section, row, seed)
        if section.name not in tasks:
            tasks[section.name] = _task(section, config)
        print(f"{section.name}: {row.name}, seed {seed}", flush=True)
        _train(row.name, config, tasks[section.name], folder)


def _order() -> Iterator[tuple[Section, Row, int]]:
    """All runs: CPT and static first, seed by seed, so that an early stop leaves comparable rows."""
    for first in (True, False):
        for seed in range(max(row.seeds for section in sections() for row in section.rows)):
            for section in sections():
                for row in section.rows:
                    if seed < row.seeds and (row.name in MAIN_ROWS) == first:
                        yield section, row, seed


def _train(name: str, config: TorchConfig, task: Task, folder: Path) -> None:
    from cpt.model import checkpoint
    from cpt.model.training import TorchRun, TorchTrainer

    try:
        with locked(folder):
            training = TorchRun(name, TorchTrainer(config, task), folder)
            if checkpoint.exists(folder / CHECKPOINT):
                training.resume()
            else:
                training.start()
            training.train()
    except ValueError as error:
        raise ContractError(str(error)) from None


def _config(section: Section, row: Row, seed: int) -> TorchConfig:
    from cpt.model.training import TorchConfig

    return TorchConfig(**{**section.settings, **row.settings, "seed": seed})


def _task(section: Section, config: TorchConfig) -> Task:
    from cpt.data import load_dataset
    from cpt.model.data import ImageArrays, ImageSet
    from cpt.model.training import Classification, open_task

    if section.data != DIGITS:
        return open_task(section.data, None, config)
    data = load_dataset(section.data)
    train, test = (ImageArrays(part.pixels, part.labels) for part in (data.train, data.test))
    return Classification(ImageSet(data.name, train, test, data.classes))


def _rows(section: Section, out: Path) -> list[dict[str, Any]]:
    """What the finished runs of a section came to; differences are those of equal seeds."""
    found = {row.name: _finished(section, row, out) for row in section.rows}
    rows = []
    for row in section.rows:
        runs = found[row.name]
        if not runs:
            continue
        first = next(iter(runs.values()))
        metric = first["metric"]
        values = [run[metric] for run in runs.values()]
        base = found[row.base]
        gains = [runs[seed][metric] - base[seed][metric] for seed in runs if seed in base]
        work, reference = (
            statistics.mean(run["gbitops"] for run in group.values()) if group else math.nan
            for group in (runs, base)
        )
        rows.append(
            {
                "row": row.name,
                "base": row.base,
                "config": _config(section, row, 0).as_dict(),
                "dataset_sha256": first["dataset_sha256"],
                "seeds": len(runs),
                "planned": row.seeds,
                "metric": metric,
                "mean": statistics.mean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "eval_bits": first["eval_bits"],
                "gbitops": work,
                "saving": 1 - work / reference,
                "gain": interval(gains) if row.name != row.base else None,
            }
        )
    return rows


def _finished(section: Section, row: Row, out: Path) -> dict[int, dict[str, Any]]:
    """Summaries by seed; those of other settings are refused."""
    from cpt.model.json_files import read_object

    found = {}
    for seed in range(row.seeds):
        path = out / section.name / f"{_slug(row.name)}-{seed}" / "summary.json"
        if path.is_file():
            try:
                summary = read_object(path)
            except ValueError as error:
                raise ContractError(str(error)) from None
            config = summary.get("config")
            wanted = _config(section, row, seed)
            stated = wanted.quantisation().plug.stated
            same = all(summary.get(name) == value for name, value in stated.items())
            if not isinstance(config, dict) or wanted.difference(config) or not same:
                raise ContractError(
                    f"{path} has other settings than this version; allowed: delete its folder"
                )
            found[seed] = summary
    return found


def _slug(name: str) -> str:
    return "-".join(name.lower().replace(",", "").split())
