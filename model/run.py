"""A training run and what it leaves: metrics.jsonl, checkpoint.npz and summary.json in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from cpt.model import checkpoint
from cpt.model.checkpoint import CheckpointError, other_run
from cpt.model.files import remove_leftovers, write_atomically
from cpt.model.run_config import RunConfig
from cpt.model.run_folder import CHECKPOINT, METRICS, SUMMARY, FolderError, clear, holds

__all__ = ["CHECKPOINT", "METRICS", "SUMMARY", "Run", "Trainer", "write_json"]


class Trainer(Protocol):
    """What is trained: its settings, and its state as arrays and JSON-like counters."""

    @property
    def config(self) -> RunConfig: ...

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]: ...

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None: ...


T = TypeVar("T", bound=Trainer)


class Run(Generic[T]):
    """One trainer, its folder and its history.

    Args:
        name: what every record calls the run.
        trainer: the network in training.
        folder: where its files go; made if missing.
        stated: what is trained where, as JSON-like values; another run's checkpoint states something else.
        writes: whether files are this process's to write.

    Raises `OSError` naming the file if one cannot be written.

    The last two checkpoints are kept. Where two processes could meet in ``folder``, the caller locks it
    (`cpt.model.run_folder.locked`).
    """

    def __init__(
        self, name: str, trainer: T, folder: Path, stated: Mapping[str, Any], writes: bool = True
    ) -> None:
        self.name, self.trainer, self.folder, self.writes = name, trainer, folder, writes
        self.rows: list[dict[str, Any]] = []
        self.passed_over: str | None = None
        """What was wrong with the newest checkpoint, where `resume` had to take the one before it."""
        self.stated: dict[str, Any] = {
            "run": name,
            **stated,
            "config": trainer.config.as_dict(),
            "seed": trainer.config.seed,
        }

    def start(self, overwrite: bool = False) -> None:
        """Begin a new run; raises `FolderError` if the folder holds another one, unless ``overwrite``."""
        if self.writes:
            if not overwrite and (found := holds(self.folder)):
                raise FolderError(f"run folder {self.folder} holds {found}; allowed: an unused folder")
            clear(self.folder)
        self._begin()

    def resume(self) -> None:
        """Return to the folder's newest whole checkpoint; a damaged one after it is set aside.

        Raises `CheckpointError` if there is none, all are damaged, or it belongs to another run.
        """
        path = self.folder / CHECKPOINT
        errors: list[CheckpointError] = []
        arrays, meta = checkpoint.load_newest(path, errors.append)
        if refusal := other_run(path, meta, self.stated, self.trainer.config.difference):
            raise CheckpointError(refusal)
        self.trainer.load_state(arrays, meta["counters"])
        self.rows = meta["rows"]
        if errors:
            self.passed_over = str(errors[0])
            if self.writes:
                checkpoint.set_aside(path)
        self._begin()

    def check_beside(self, name: str, config: RunConfig, folder: Path) -> None:
        """Raise a `ValueError` unless ``folder`` is free or its checkpoint that of ``config``."""
        path = folder / CHECKPOINT
        if not checkpoint.exists(path):
            if found := holds(folder):
                raise FolderError(f"run folder {folder} holds {found} but no checkpoint; allowed: both")
            return
        _, meta = checkpoint.load_newest(path)
        stated = {**self.stated, "run": name, "config": config.as_dict(), "seed": config.seed}
        if refusal := other_run(path, meta, stated, config.difference):
            raise CheckpointError(refusal)

    def save(self) -> None:
        """Write a checkpoint."""
        arrays, counters = self.trainer.state()
        if self.writes:
            meta = {"stated": self.stated, "counters": counters, "rows": self.rows}
            checkpoint.save_keeping_previous(self.folder / CHECKPOINT, arrays, meta)

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Take ``row`` into the history, and write a checkpoint and the history."""
        self.rows.append(row)
        self.save()
        self._write_rows()

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write the summary."""
        if self.writes:
            write_json(self.folder / SUMMARY, summary)

    def _begin(self) -> None:
        if self.writes:
            for name in (METRICS, CHECKPOINT, SUMMARY):
                remove_leftovers(self.folder, name)
        self._write_rows()

    def _write_rows(self) -> None:
        if self.writes:
            text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.rows)
            write_atomically(self.folder / METRICS, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
