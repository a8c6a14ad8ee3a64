"""Images of one's own: a folder per class, held in memory at one size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cpt.model.data.decode import SUFFIXES, header, open_grey, open_rgb
from cpt.model.data.source import DataError

TRAIN, TESTS = "train", ("test", "val", "valid")
"""Folders of the two parts; of the second the first that is there."""
Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class ClassFolders:
    """Images (N, H, W, C) uint8 and labels (N,) int64 of ``DIR/train/CLASS/*`` and ``DIR/test/CLASS/*``.

    ``test`` is None where there is no such folder; classes are numbered in alphabetical order.
    """

    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray] | None


def load_class_folders(root: Path, size: tuple[int, int] | None = None) -> ClassFolders:
    """Read all images below ``root``; ``root/CLASS/*`` will do where there is no ``root/train``.

    Grey images have one channel; if any has colours, all have three. ``size`` (height, width): every image
    is scaled to cover it, and its middle taken; None: all have the size of the first.
    Raises `DataError` in one line that names the file or folder.
    """
    if size is not None and min(size) < 1:
        raise DataError(f"image-size is {' '.join(map(str, size))}; allowed: at least 1")
    training = root / TRAIN if (root / TRAIN).is_dir() else root
    classes = tuple(sorted(path.name for path in _folders(training)))
    if len(classes) < 2:
        raise DataError(
            f"data {training} has {len(classes)} class folders; allowed: at least 2, {TRAIN}/CLASS/*.png"
        )
    parts = [_files(training, classes)]
    testing = next((root / name for name in TESTS if (root / name).is_dir()), None)
    if testing is not None and training != root:
        if odd := sorted({path.name for path in _folders(testing)} - set(classes)):
            raise DataError(
                f"data {testing / odd[0]} is no class of {training}; allowed: {', '.join(classes)}"
            )
        parts.append(_files(testing, classes, empty=True))
        if not parts[1]:
            raise DataError(f"data {testing} has no images; allowed: CLASS/*.png")
    heads = {path: header(path) for part in parts for path, _ in part}
    first, (height, width, _) = next(iter(heads.items()))
    if size is None:
        for path, found in heads.items():
            if found[:2] != (height, width):
                raise DataError(
                    f"data {path} is {found[0]} x {found[1]}, {first.name} {height} x {width}; "
                    "allowed: one size, or --image-size HEIGHT WIDTH"
                )
    size = size or (height, width)
    colours = any(found[2] for found in heads.values())
    needed = len(heads) * size[0] * size[1] * (3 if colours else 1) * 9
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise DataError(
            f"data {root} needs {needed / 2**30:.1f} GiB of memory at {size[0]} x {size[1]}; "
            "allowed: a smaller --image-size, or --data imagenet with --data-dir, which reads as it goes"
        )
    read = [
        (_pixels(part, size, colours), np.array([label for _, label in part], np.int64)) for part in parts
    ]
    return ClassFolders(classes, read[0], read[1] if len(read) > 1 else None)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _files(folder: Path, classes: tuple[str, ...], empty: bool = False) -> Labelled:
    found: Labelled = []
    for label, name in enumerate(classes):
        inside = (folder / name).iterdir() if (folder / name).is_dir() else ()
        paths = sorted(path for path in inside if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        if not paths and not empty:
            raise DataError(f"data {folder / name} has no images; allowed: {', '.join(sorted(SUFFIXES))}")
        found += [(path, label) for path in paths]
    return found


def _pixels(files: Labelled, size: tuple[int, int], colours: bool) -> np.ndarray:
    height, width = size
    pixels = np.empty((len(files), height, width, 3 if colours else 1), np.uint8)
    for number, (path, _) in enumerate(files):
        image = open_rgb(path) if colours else open_grey(path)
        if image.size != (width, height):
            from PIL import Image, ImageOps

            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        pixels[number] = np.asarray(image).reshape(height, width, -1)
    return pixels
