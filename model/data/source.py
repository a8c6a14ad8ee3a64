"""Finding and reading the files of a data set; every failure is one line that names the file."""

from __future__ import annotations

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


def read_bytes(path: Path) -> bytes:
    """Content of ``path``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"data {path} cannot be read ({error.strerror}); allowed: a readable file") from None
