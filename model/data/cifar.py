"""CIFAR-10 and CIFAR-100 in both published formats: binary, and Python pickles read by a restricted reader.

Source: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html (layout of the files).
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpt.model.data.images import ImageArrays, ImageSet
from cpt.model.data.source import DataError, find_folder, first_line, read_bytes

MEAN = (0.4914, 0.4822, 0.4465)
DEVIATION = (0.2023, 0.1994, 0.2010)
"""Of the training pixels as CPT uses them (docs/numerics.md)."""
SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE
"""Of one image: red, green and blue planes, each row by row."""
_TRAIN_10 = tuple(f"data_batch_{number}" for number in range(1, 6))


def load_cifar(root: Path, classes: int) -> ImageSet:
    """CIFAR with 10 or 100 (fine) labels from ``root``, or from its folder that the archive unpacks to.

    Prepared as in the papers: crop 32 out of 40, mirror, published mean and deviation. Raises `DataError`.
    """
    if classes not in (10, 100):
        raise DataError(f"classes is {classes}; allowed: 10, 100")
    train, test = (_TRAIN_10, ("test_batch",)) if classes == 10 else (("train",), ("test",))
    folders = (
        ("cifar-10-batches-bin", "cifar-10-batches-py")
        if classes == 10
        else ("cifar-100-binary", "cifar-100-python")
    )
    try:
        folder, suffix = find_folder(root, folders[:1], f"{train[0]}.bin"), ".bin"
    except DataError:
        folder, suffix = find_folder(root, folders, train[0]), ""
    read = _read_binary if suffix else _read_pickle

    def part(names: Sequence[str]) -> ImageArrays:
        found = [read(folder / f"{name}{suffix}", classes) for name in names]
        return ImageArrays(
            np.concatenate([pixels for pixels, _ in found]), np.concatenate([labels for _, labels in found])
        )

    return ImageSet(f"cifar{classes}", part(train), part(test), classes, MEAN, DEVIATION, pad=4, flip=True)


def _read_binary(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Records of 1 label byte (CIFAR-100: coarse, then fine) and 3072 pixel bytes."""
    labels = 1 if classes == 10 else 2
    data = np.frombuffer(read_bytes(path), np.uint8)
    if not data.size or data.size % (labels + PIXEL_BYTES):
        raise DataError(f"data {path} has {data.size} bytes; allowed: records of {labels + PIXEL_BYTES}")
    records = data.reshape(-1, labels + PIXEL_BYTES)
    return _pixels(records[:, labels:]), _labels(path, records[:, labels - 1], classes)


def _read_pickle(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dict with the array ``data`` and the list ``labels`` or ``fine_labels``."""
    key = b"labels" if classes == 10 else b"fine_labels"
    packed = read_bytes(path)
    try:
        _check_places(packed)
        content = _ArrayUnpickler(io.BytesIO(packed), encoding="bytes").load()
        data, labels = np.asarray(content[b"data"]), np.asarray(content[key])
    except DataError as error:
        raise DataError(f"data {path}: {error}") from None
    except Exception as error:
        # a damaged pickle may raise anything at all
        raise DataError(
            f"data {path} is damaged ({first_line(error)}); allowed: a published CIFAR batch"
        ) from None
    if (
        data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != PIXEL_BYTES
        or labels.shape != data.shape[:1]
    ):
        raise DataError(
            f"data {path} holds {data.dtype} {data.shape}; allowed: uint8 (N, {PIXEL_BYTES}), N labels"
        )
    if not len(data):
        raise DataError(f"data {path} holds no images; allowed: at least 1")
    if labels.dtype.kind not in "iu":
        raise DataError(f"data {path} has labels of type {labels.dtype}; allowed: whole numbers")
    return _pixels(data), _labels(path, labels, classes)


def _labels(path: Path, labels: np.ndarray, classes: int) -> np.ndarray:
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise DataError(f"data {path} has labels {low}..{high}; allowed: 0..{classes - 1}")
    return labels.astype(np.int64)


def _check_places(packed: bytes) -> None:
    """Refuse a pickle that remembers something at a place beyond its length.

    The unpickler makes room up to that place before it looks any further: gigabytes for one flipped bit.
    """
    for code, argument, _ in pickletools.genops(packed):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(packed):
            raise DataError(f"pickle has a place {argument}; allowed: up to its {len(packed)} bytes")


def _pixels(planes: np.ndarray) -> np.ndarray:
    """(N, 3072) planes -> (N, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numbers, strings, containers and numpy arrays of numbers; every other name is refused."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"pickle names {module}.{name}; allowed: numpy arrays, numbers and strings")
        if module == "_codecs":
            return _encode
        if name == "_reconstruct":
            return np.core.multiarray._reconstruct  # type: ignore[attr-defined]
        return super().find_class(module, name)


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 pickles bytes in protocol 2: latin-1 text."""
    if encoding != "latin1":
        raise DataError(f"pickle encodes as {encoding!r}; allowed: latin1")
    return text.encode("latin-1")
