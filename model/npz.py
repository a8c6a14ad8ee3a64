"""Reading ``.npz`` files that may be anything: every failure is one error, and nothing is trusted."""

from __future__ import annotations

import math
import os
import stat
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

DEFLATE_MOST = 1032
"""Bytes that one compressed byte can stand for."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpzError(ValueError):
    """A file is no ``.npz`` of plain arrays; the message is the reason in one line, without its name."""


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays ``names`` of the file, or all.

    No more memory is used than the file's size allows for; FIFOs and devices are not opened, objects are not
    unpickled. Raises `NpzError` whatever is wrong, in the file system as in the file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise NpzError("it is no regular file")
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")  # numpy's, about headers of damaged files
            return _arrays(archive, path.stat().st_size, names)
    except NpzError:
        raise
    # zipfile, zlib, ast, codecs and numpy raise a dozen kinds of errors on damaged bytes
    except Exception as error:
        lines = str(getattr(error, "strerror", None) or error).split("\n")
        raise NpzError(lines[0] or type(error).__name__) from None


def _arrays(archive: zipfile.ZipFile, file_size: int, names: Collection[str] | None) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise NpzError("a name is there twice")
    if names is not None:
        if missing := [name for name in names if name not in entries]:
            raise NpzError(f"{missing[0]} is missing")
        entries = {name: entries[name] for name in names}
    total = sum(entry.file_size for entry in entries.values())
    most = min(file_size * DEFLATE_MOST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if total > most:
        raise NpzError(f"its arrays are said to have {total} bytes; at most {most} can be")
    for name, entry in entries.items():
        with archive.open(entry) as file:
            found[name] = _array(file, entry.file_size)
    return found


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """One array of a ``.npy`` entry of ``size`` bytes, read to its end, where its checksum is compared."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise NpzError(f"an array has format {version}")
    shape, fortran, dtype = _HEADERS[version](file)
    count = math.prod(shape)
    if dtype.hasobject or dtype.itemsize == 0 or any(length < 0 for length in shape):
        raise NpzError(f"an array of {dtype} of shape {shape} holds no plain numbers")
    if count * dtype.itemsize != size - file.tell():
        raise NpzError(f"an array of {dtype} of shape {shape} has another size")
    data = np.empty(count * dtype.itemsize, np.uint8)
    filled = 0
    while filled < len(data):
        part = file.read(min(1 << 20, len(data) - filled))
        if not part:
            raise NpzError("an array ends too early")
        data[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    if file.read(1):
        raise NpzError("an array goes on after its end")
    flat: np.ndarray = data.view(dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
