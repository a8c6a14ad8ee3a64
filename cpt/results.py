"""Train every method on the bundled real data over many seeds, and write docs/results.md."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from cpt.experiments import Row, Section, sections
from cpt.hw.contract import ContractError
from cpt.model.files import check_writable, write_atomically
from cpt.model.run_folder import CHECKPOINT, SUMMARY, FolderError, locked
from cpt.model.units import metric
from cpt.results_page import interval, page
from cpt.results_runs import Job, Result, Runs

NICENESS = 19
RUNS = Path("runs/results")
PAGE = Path("docs/results.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=RUNS, metavar="DIR", help=f"runs (default: {RUNS})")
    parser.add_argument(
        "--page",
        type=Path,
        default=PAGE,
        metavar="FILE",
        help=f"page; beside it, as .json, the results of all runs, which count as finished (default: {PAGE})",
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
    check_writable(arguments.page)
    record = arguments.page.with_suffix(".json")
    check_writable(record)
    runs = Runs(sections(), arguments.out, record)
    for _ in runs.pending():  # a run of other settings is refused before hours of training, not after
        pass
    if not arguments.render_only:
        with contextlib.redirect_stdout(sys.stderr):
            _train_all(runs, arguments.threads)
    tables = [(section, _rows(runs, section)) for section in runs.sections]
    if not any(rows for _, rows in tables):
        raise ContractError(
            f"{arguments.out} holds no finished run for the page; allowed: --out with runs, or no "
            "--render-only (hours)"
        )
    runs.write_record()
    text = page((section.title, section.data, rows) for section, rows in tables)
    write_atomically(arguments.page, text.encode())
    if arguments.json:
        print(json.dumps([{"section": section.name, **row} for section, rows in tables for row in rows]))
    else:
        print(f"written: {arguments.page}")
    return 0


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


def _rows(runs: Runs, section: Section) -> list[dict[str, Any]]:
    """What the finished runs of a section came to; differences are those of equal seeds."""
    found = {row.name: runs.finished(section, row) for row in section.rows}
    return [_row(runs, section, row, found) for row in section.rows if found[row.name]]


def _row(runs: Runs, section: Section, row: Row, found: dict[str, dict[int, Result]]) -> dict[str, Any]:
    results, base = found[row.name], found[row.base]
    values = [result.value for result in results.values()]
    gains = [results[seed].value - base[seed].value for seed in results if seed in base]
    work, reference = (
        statistics.mean(result.gbitops for result in group.values()) if group else math.nan
        for group in (results, base)
    )
    task, baseline = runs.task(section), runs.baseline(section)
    config = runs.config(Job(section, row, 0))
    assert config is not None
    return {
        "row": row.name,
        "base": row.base,
        "table": row.table,
        "config": config.as_dict(),
        "dataset_sha256": runs.data_sha256(section),
        "seeds": len(results),
        "planned": row.seeds,
        "metric": task.metric,
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
        "eval_bits": next(iter(results.values())).eval_bits,
        "gbitops": work,
        "saving": 1 - work / reference,
        "gain": interval(gains) if row.name != row.base else None,
        "baseline": dataclasses.asdict(baseline),
        "beats_baseline": _beats(task.metric, values, baseline.value),
    }


def _beats(name: str, values: list[float], baseline: float) -> bool:
    """Whether the mean is better than the baseline: by its interval, or as it stands if it has none."""
    gains = [value - baseline for value in values]
    _, low, high = interval(gains) or (gains[0],) * 3
    return low > 0 if metric(name).more_is_better else high < 0
