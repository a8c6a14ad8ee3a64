"""Writing files so that a crash or a full disk leaves either the old content or the new."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: temporary file in the same folder, fsync, rename.

    Where ``path`` is a symbolic link, the file that it leads to is replaced, and the link stays. Folders,
    FIFOs, sockets and devices are never replaced. Raises `OSError` naming ``path`` and the reason; the old
    file is then still there and whole.
    """
    temporary = None
    try:
        real = _real(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, real)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from None


def check_writable(path: Path) -> None:
    """Raise the `OSError` of `write_atomically` where it would fail for ``path``, and change nothing."""
    try:
        folder = _real(path).parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from None


def _real(path: Path) -> Path:
    """The file that ``path`` is or leads to; `OSError` if that is not a file to replace."""
    try:
        real = path.resolve()
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return real
    except (RuntimeError, ValueError) as error:  # a loop of links; a zero byte in the name
        raise OSError(None, str(error)) from None
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    if kind:
        raise OSError(None, f"it is {kind}; allowed: a file")
    return real


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_leftovers(folder: Path, name: str) -> None:
    """Delete temporary files that writers of ``folder/name`` left behind when they were killed.

    Only for a folder that nobody else is writing to.
    """
    ours = re.compile(rf"\.{re.escape(name)}\.([a-z0-9_]{{8}}|previous)")
    for path in folder.glob(f".{name}.*"):
        if ours.fullmatch(path.name):
            path.unlink(missing_ok=True)
