"""Where the runs of ``cpt train`` go: the folder's name, who may use it, and what it holds when they stop."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpt.host.measure import MEASURED
from cpt.hw.contract import ContractError
from cpt.model import checkpoint
from cpt.model.run import Run
from cpt.model.run_config import RunConfig
from cpt.model.run_folder import CHECKPOINT, FolderError, clear, holds, locked
from cpt.stopped import Stopped

STATIC = "static"
"""Folder of the static run inside that of the run beside it; both are one command's."""


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Options that say where runs go."""
    group.add_argument(
        "--run-name", metavar="NAME", help="folder below --out (default: DATA-MODEL-METHOD-DEVICE)"
    )
    group.add_argument(
        "--out", default="runs", type=Path, metavar="DIR", help="where runs go (default: runs)"
    )
    group.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder of --out, --run-name"
    )
    group.add_argument("--overwrite", action="store_true", help="delete the run that is in the folder")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise `ContractError` for a name that is none, and for options that exclude each other."""
    name = arguments.run_name
    if name is not None and not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
        raise ContractError(f"run-name is {name!r}; allowed: letters, digits, '.', '_', '-'")
    if arguments.overwrite and (arguments.resume or arguments.automatic_resume):
        raise ContractError("--overwrite is given with --resume; allowed: one of them")


def default_name(data: str, model: str, method: str, device: str) -> str:
    """The folder of a run that was given no name; characters that names may not have become dashes."""
    words = (re.split(r"[\\/]", data.rstrip("\\/"))[-1].removesuffix(".npz"), model, method, device)
    return "-".join(re.sub(r"[^\w.]+", "-", word).strip("-") or "run" for word in words)


@contextlib.contextmanager
def claimed(arguments: argparse.Namespace, name: str, leads: bool = True) -> Iterator[Path]:
    """The folder of the command's runs, locked; sets ``folder``, and ``resume`` for ``--automatic_resume``.

    Args:
        arguments: with the options of `add_arguments`.
        name: of the folder unless ``--run-name`` is given.
        leads: whether this is the process that writes.

    Raises `ContractError` if the folder is used and neither ``--resume`` nor ``--overwrite`` is given, or if
    another process is using it; `Stopped` in place of a KeyboardInterrupt, saying what was saved.
    """
    folder = arguments.folder = arguments.out / (arguments.run_name or name)
    if arguments.automatic_resume:
        arguments.resume = checkpoint.exists(folder / CHECKPOINT)
    if not leads:
        yield folder
        return
    try:
        with locked(folder) as held:
            if not held:
                print(f"cpt train: {folder} cannot be locked; start no second run in it", file=sys.stderr)
            if not (arguments.resume or arguments.overwrite):
                _refuse_used(folder)
            try:
                yield folder
            except KeyboardInterrupt as stop:
                raise Stopped(_saved(folder), stop) from None
    except FolderError as error:
        raise ContractError(str(error)) from None


def begin(run: Run[Any], arguments: argparse.Namespace, beside: RunConfig | None = None) -> None:
    """Start or resume ``run``, in the folder that `claimed` gave or the ``static/`` inside, as options say.

    ``static/`` inside a folder is the static run of the same command: ``--resume`` goes on with both where
    each stands, ``--overwrite`` deletes both. ``beside``: the static run's settings, if there will be one; a
    ``static/`` that is none of theirs is refused before the first step, not after the first run.

    Raises `ContractError` or `HostError` in one line.
    """
    try:
        _begin(run, arguments, beside)
    except ValueError as error:
        raise ContractError(str(error)) from None


def _begin(run: Run[Any], arguments: argparse.Namespace, beside: RunConfig | None) -> None:
    inside = run.folder != arguments.folder
    if arguments.resume and (not inside or checkpoint.exists(run.folder / CHECKPOINT)):
        if beside and not inside:
            run.check_beside(STATIC, beside, run.folder / STATIC)
        run.resume()
        if run.passed_over and run.writes:
            print(f"{run.passed_over}; going on from the one before it", file=sys.stderr)
        return
    run.start(arguments.overwrite)
    if arguments.overwrite and run.writes and not inside:
        if (run.folder / STATIC).is_dir():
            clear(run.folder / STATIC)
        for place in (run.folder, run.folder / STATIC):
            (place / MEASURED).unlink(missing_ok=True)


def _refuse_used(folder: Path) -> None:
    found = holds(folder)
    if found is None and (inside := holds(folder / STATIC)):
        found = f"{inside} in {STATIC}/"
    if found:
        raise ContractError(
            f"run folder {folder} holds {found}; allowed: --resume to go on with it, --overwrite to delete "
            "it, --run-name NAME for another folder"
        )


def _saved(folder: Path) -> str:
    """The newest checkpoints below ``folder`` in words; empty if there are none."""
    found = []
    for place in (folder, folder / STATIC):
        with contextlib.suppress(checkpoint.CheckpointError):
            _, meta = checkpoint.load_newest(place / CHECKPOINT)
            step, epochs = meta["counters"]["step"], len(meta["rows"])
            found.append(f"step {step} ({epochs} epoch{'s' * (epochs != 1)}) in {place / CHECKPOINT}")
    return ", ".join(found)
