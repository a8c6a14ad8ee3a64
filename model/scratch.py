"""Temporary folders that vanish even if their process was killed: the next one cleans up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "cpt-"
MARK = ".scratch"
"""File that says whose the folder is; written once it is locked."""


class Scratch:
    """A folder ``name`` in the temporary directory, removed by `close`; a context manager.

    It is locked by this process. Making one removes all of this user's that are marked and that nobody locks
    any more: those of processes that were killed.
    """

    def __init__(self, kind: str) -> None:
        _remove_forsaken()
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
        self._handle: int | None = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        # where it cannot be locked, it is not marked either: nobody else removes it
        with contextlib.suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            (self.path / MARK).touch()

    def close(self) -> None:
        """Remove the folder; more than once is allowed."""
        if self._handle is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _remove_forsaken() -> None:
    for path in _ours():
        # another process may remove it meanwhile
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _ours() -> Iterator[Path]:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-????????"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if found.st_uid == os.getuid() and (path / MARK).is_file():
                yield path
