"""The folder of a run: whether it is used, by whom, and clearing it of a run's own files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cpt.model import checkpoint

METRICS, CHECKPOINT, SUMMARY = "metrics.jsonl", "checkpoint.npz", "summary.json"
HEALTH = "health.jsonl"
LOCK = ".lock"
_WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that cannot lock."""


class FolderError(ValueError):
    """A run's folder is used or locked; the message is one line."""


def holds(folder: Path) -> str | None:
    """What of a run would be lost if another one started in ``folder``; None if nothing.

    A run that was stopped before its first checkpoint has left an empty history: nothing.
    """
    if (folder / SUMMARY).exists():
        return "a finished run"
    history = folder / METRICS
    started = checkpoint.exists(folder / CHECKPOINT) or (history.is_file() and history.stat().st_size > 0)
    return "a started run" if started else None


def clear(folder: Path) -> None:
    """Delete the files that a run leaves in ``folder``, and nothing else."""
    path = folder / CHECKPOINT
    for old in (
        path,
        checkpoint.previous(path),
        checkpoint.damaged(path),
        folder / METRICS,
        folder / SUMMARY,
        folder / HEALTH,
    ):
        old.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other processes out of ``folder``, which is made if missing and removed if it stays empty.

    The kernel holds the lock and gives it up with the process, however that ends. Gives False where the file
    system cannot lock. Raises `FolderError` if another process has it, `OSError` naming what cannot be made.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    handle, held = _take(path, folder)
    try:
        yield held
    finally:
        # While it is still locked: who opened it meanwhile finds another file under the name and tries again.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
        with contextlib.suppress(OSError):
            for empty in made:
                empty.rmdir()


def _take(path: Path, folder: Path) -> tuple[int, bool]:
    """The locked file ``path``, open, and whether it could be locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(handle), os.stat(path)):
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle, True
        except BlockingIOError:
            owner = os.pread(handle, 20, 0).decode(errors="replace") or "unknown"
            os.close(handle)
            raise FolderError(
                f"run folder {folder} is in use by process {owner}; allowed: --run-name NAME for another "
                "folder, or wait for its end"
            ) from None
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return handle, False
            os.close(handle)
            raise
        os.close(handle)
