"""Checkpoints: one file of plain arrays with a hashed manifest, written whole or not at all.

The file is a numpy ``.npz`` without pickled objects. Its entry ``manifest`` is JSON text: the caller's
``meta`` and, for every array, its type, shape and sha256. Reading checks all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cpt.model.files import write_atomically
from cpt.model.npz import read_npz

FORMAT = 1
_MANIFEST = "manifest"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another kind; the message is one line."""


def save(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write ``arrays`` and the JSON-like ``meta`` to ``path`` atomically.

    Raises `OSError` naming ``path`` if it cannot be written; what was there before is then unharmed.
    """
    manifest = {
        "format": FORMAT,
        "meta": dict(meta),
        "arrays": {name: _describe(array) for name, array in arrays.items()},
    }
    text = json.dumps(manifest, sort_keys=True).encode()
    buffer = io.BytesIO()
    np.savez(buffer, **{_MANIFEST: np.frombuffer(text, np.uint8)}, **arrays)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and ``meta`` of a checkpoint; raises `CheckpointError` unless every hash agrees."""
    if not os.path.lexists(path):
        raise CheckpointError(f"checkpoint {path} does not exist; allowed: a file written by a run")
    try:
        arrays = read_npz(path)
        manifest = json.loads(arrays.pop(_MANIFEST).tobytes())
        described, meta, version = dict(manifest["arrays"]), dict(manifest["meta"]), manifest["format"]
    except KeyError as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged ({error} is missing); allowed: a whole file"
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"checkpoint {path} is damaged ({reason}); allowed: a whole file") from None
    if version != FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {version}; allowed: {FORMAT}")
    if set(described) != set(arrays):
        raise CheckpointError(f"checkpoint {path} is damaged (arrays are missing); allowed: a whole file")
    for name, array in arrays.items():
        if _describe(array) != described[name]:
            raise CheckpointError(f"checkpoint {path} is damaged ({name} differs from its hash)")
    return arrays, meta


def _describe(array: np.ndarray) -> dict[str, Any]:
    data = np.ascontiguousarray(array)
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
    }


def save_keeping_previous(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """`save`, with what ``path`` held before kept as `previous`; both are whole at every moment."""
    if path.is_file():
        spare = path.with_name(f".{path.name}.previous")
        spare.unlink(missing_ok=True)
        try:
            os.link(path, spare)
            os.replace(spare, previous(path))
        except OSError:
            # memory cards' file systems have no links
            write_atomically(previous(path), path.read_bytes())
        # A save killed before its end leaves both names on one file; renaming the third then does nothing.
        spare.unlink(missing_ok=True)
    save(path, arrays, meta)


def previous(path: Path) -> Path:
    """Where the checkpoint before that of ``path`` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def damaged(path: Path) -> Path:
    """Where a damaged checkpoint of ``path`` is put once the one before it was loaded."""
    return path.with_name(f"{path.stem}.damaged{path.suffix}")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint ``path`` or the one before it."""
    return path.exists() or previous(path).exists()


def load_newest(
    path: Path, passed_over: Callable[[CheckpointError], None] = lambda error: None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`load` of ``path``, or of `previous` if that one is damaged or gone and the previous is whole.

    ``passed_over`` is called with what is wrong with the newest, once the previous has been read.
    """
    try:
        return load(path)
    except CheckpointError as error:
        try:
            found = load(previous(path))
        except CheckpointError:
            raise error from None
        passed_over(error)
        return found


def set_aside(path: Path) -> None:
    """Move a damaged ``path`` to `damaged`, so that the next save keeps the whole one before it."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, damaged(path))


def other_run(
    path: Path,
    meta: Mapping[str, Any],
    stated: Mapping[str, Any],
    config_difference: Callable[[dict[str, Any]], str | None],
) -> str | None:
    """One line if the checkpoint's ``meta`` was written by another run than ``stated`` describes.

    ``config_difference`` says how the configuration of ``meta`` differs from the run's, if it does.
    """
    found = meta.get("stated", {})
    difference = config_difference(found.get("config", {}))
    if difference is None:
        odd = next((name for name in stated if name != "config" and found.get(name) != stated[name]), None)
        difference = odd and f"{odd} {found.get(odd)}, here {stated[odd]}"
    return difference and f"checkpoint {path} has {difference}; allowed: the run it was written by"
