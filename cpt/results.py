"""Train methods, or schedules, on the bundled real data over many seeds, and write a page of results."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from cpt import results_reading, schedule_reading
from cpt.experiments import sections
from cpt.hw.contract import ContractError
from cpt.model.files import check_writable, write_atomically
from cpt.model.run_folder import CHECKPOINT, SUMMARY, FolderError, locked
from cpt.results_page import Table, Texts, page
from cpt.results_rows import section_rows
from cpt.results_runs import Job, Runs
from cpt.schedule_experiments import schedule_sections
from cpt.schedule_picture import add_times, draw

NICENESS = 19
RUNS = Path("runs/results")
PAGE = Path("docs/results.md")
SCHEDULES_PAGE = Path("docs/pareto.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--schedules",
        action="store_true",
        help="schedules and adaptive rules against bit operations and simulated time, in place of methods",
    )
    parser.add_argument("--out", type=Path, default=RUNS, metavar="DIR", help=f"runs (default: {RUNS})")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="page; beside it, as .json, the results of all runs, which count as finished (default: "
        f"{PAGE}; {SCHEDULES_PAGE})",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument(
        "--render-only", action="store_true", help="train nothing: write the page from the runs there are"
    )
    parser.add_argument("--json", action="store_true", help="the rows as one line on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, then write the page; goes on where it was stopped; several share the work."""
    if arguments.threads < 1:
        raise ContractError(f"threads is {arguments.threads}; allowed: at least 1")
    where: Path = arguments.page or (SCHEDULES_PAGE if arguments.schedules else PAGE)
    record = where.with_suffix(".json")
    for path in (where, record):
        check_writable(path)
    runs = Runs(schedule_sections() if arguments.schedules else sections(), arguments.out, record)
    for _ in runs.pending():  # a run of other settings is refused before hours of training, not after
        pass
    if not arguments.render_only:
        with contextlib.redirect_stdout(sys.stderr):
            _train_all(runs, arguments.threads)
    found = {section.name: section_rows(runs, section) for section in runs.sections}
    if not any(found.values()):
        raise ContractError(
            f"{arguments.out} holds no finished run for the page; allowed: --out with runs, or no "
            "--render-only (hours)"
        )
    runs.write_record()
    _write(runs, found, where, schedules=arguments.schedules)
    if arguments.json:
        print(json.dumps([{"section": name, **row} for name, rows in found.items() for row in rows]))
    else:
        print(f"written: {where}")
    return 0


def _write(runs: Runs, found: dict[str, list[dict[str, Any]]], where: Path, *, schedules: bool) -> None:
    """The page, and the pictures it shows."""
    texts = Texts(results_reading.INTRODUCTION, results_reading.reading)
    pictures = {}
    if schedules:
        texts = Texts(schedule_reading.INTRODUCTION, schedule_reading.reading)
        for section in runs.sections:
            if rows := found[section.name]:
                add_times(runs.task(section), rows)
                pictures[section.name] = draw(
                    rows, section.title, where.with_name(f"{section.name}.svg")
                ).name
    tables = [
        Table(section.title, section.data, found[section.name], pictures.get(section.name, ""))
        for section in runs.sections
    ]
    write_atomically(where, page(tables, texts).encode())


def _train_all(runs: Runs, threads: int) -> None:
    """Every run that has no result yet, but for those that another process has in hand."""
    import torch

    os.nice(NICENESS - os.nice(0))
    torch.set_num_threads(threads)
    trained = True
    while trained:
        trained = False
        for job in runs.pending():
            with contextlib.suppress(FolderError):
                _train(runs, job)
                trained = True


def _train(runs: Runs, job: Job) -> None:
    from cpt.model import checkpoint
    from cpt.model.training import TorchRun, TorchTrainer

    config, folder = runs.config(job), runs.folder(job)
    assert config is not None
    with locked(folder):
        if (folder / SUMMARY).is_file():  # by another process, meanwhile
            return
        print(f"{job.entry}, seed {job.seed}", flush=True)
        try:
            training = TorchRun(job.row.name, TorchTrainer(config, runs.task_of(job)), folder)
            if checkpoint.exists(folder / CHECKPOINT):
                training.resume()
            else:
                training.start()
            training.train()
        except ValueError as error:
            raise ContractError(str(error)) from None
