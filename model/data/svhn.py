"""Street View House Numbers, cropped digits, in the published MATLAB files.

Source: Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers (format 2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cpt.model.data.images import ImageArrays, ImageSet
from cpt.model.data.source import DataError, find_folder, first_line, regular_file

MEAN = (0.4377, 0.4438, 0.4728)
DEVIATION = (0.1980, 0.2010, 0.1970)
"""Of the training pixels."""


def load_svhn(root: Path) -> ImageSet:
    """``train_32x32.mat`` and ``test_32x32.mat`` of ``root``; random crops, digits are not mirrored."""
    folder = find_folder(root, ("svhn", "SVHN"), "train_32x32.mat")
    train, test = (_read(folder / f"{part}_32x32.mat") for part in ("train", "test"))
    return ImageSet("svhn", train, test, 10, MEAN, DEVIATION, pad=4)


def _read(path: Path) -> ImageArrays:
    """``X`` (32, 32, 3, N) uint8 and ``y`` (N, 1), in which 10 stands for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(
            "scipy, which reads MATLAB files, is not installed; allowed: pip install 'cpt-fpga[torch]'"
        ) from None
    try:
        content = loadmat(regular_file(path), variable_names=("X", "y"))
        pixels, labels = content["X"], content["y"]
    except DataError:
        raise
    except Exception as error:
        # scipy raises many kinds for damaged files
        raise DataError(
            f"data {path} cannot be read ({first_line(error)}); allowed: SVHN's format 2"
        ) from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3) or not pixels.size:
        raise DataError(f"data {path} holds {pixels.dtype} {pixels.shape}; allowed: uint8 (32, 32, 3, N)")
    if labels.size != pixels.shape[3]:
        raise DataError(
            f"data {path} holds {pixels.shape[3]} images and {labels.size} labels; allowed: as many"
        )
    return ImageArrays(np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), _labels(path, labels.ravel()))


def _labels(path: Path, labels: np.ndarray) -> np.ndarray:
    """The published labels 1..10 as 1..9, 0."""
    whole = labels.dtype.kind in "iuf" and np.isfinite(labels).all() and (labels == np.floor(labels)).all()
    if not whole:
        raise DataError(
            f"data {path} has labels that are not whole numbers; allowed: 1..10 (10 stands for 0)"
        )
    low, high = labels.min(), labels.max()
    if low < 1 or high > 10:
        raise DataError(f"data {path} has labels {low:g}..{high:g}; allowed: 1..10 (10 stands for 0)")
    return labels.astype(np.int64) % 10
