"""Finding and reading the files of a data set; every failure is one line that names the file."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path


class DataError(ValueError):
    """A data set is missing, damaged or in another format; the message is one line."""


def find_folder(root: Path, names: Iterable[str], marker: str) -> Path:
    """The first of ``root`` and its subfolders ``names`` that holds the file or folder ``marker``.

    Raises `DataError` naming what was looked for.
    """
    candidates = [root, *(root / name for name in names)]
    for folder in candidates:
        if (folder / marker).exists():
            return folder
    looked = ", ".join(str(folder) for folder in candidates)
    raise DataError(f"data has no {marker} in {looked}; allowed: a folder with the published files")


def regular_file(path: Path) -> Path:
    """``path``, if it is a file or a link to one.

    Raises `DataError` otherwise: a pipe would be waited for without end, and a device has no end.
    """
    reason = ""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            reason = "it is a folder"
        elif not stat.S_ISREG(mode):
            reason = "it is a pipe or device"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError as error:
        # a NUL in the path
        reason = str(error)
    if reason:
        shown = str(path) if str(path).isprintable() else repr(str(path))
        raise DataError(f"data {shown} cannot be read ({reason}); allowed: a readable file")
    return path


def read_bytes(path: Path) -> bytes:
    """Content of ``path``."""
    try:
        return regular_file(path).read_bytes()
    except OSError as error:
        raise DataError(f"data {path} cannot be read ({error.strerror}); allowed: a readable file") from None


def first_line(error: BaseException) -> str:
    """Kind and reason of an error that another library raised."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
