"""Where training images come from: scikit-learn's digits, or a file of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cpt.host.data import Dataset, Images, load_images, split
from cpt.host.errors import HostError

DIGITS = "digits"
BUNDLED = Path(__file__).with_name("digits.npz")
"""The digits as a file, in the archive for boards (`cpt package`)."""
SPLIT_SEED = 0
"""Which images are held out; the same for every training seed, so that runs are compared on one test set."""


def load_dataset(source: str) -> Dataset:
    """The images of ``source``, standardised, a fifth of each class held out for testing.

    Args:
        source: ``"digits"``, or the path of an ``.npz`` file as `cpt.host.data.save_images` writes it: how
            images reach a board, which has no scikit-learn.

    Raises `HostError` in one line if they cannot be had.
    """
    if source == DIGITS:
        return split(DIGITS, digits(), seed=SPLIT_SEED)
    path = Path(source)
    if path.suffix != ".npz":
        raise HostError(f"data is {source!r}; allowed: {DIGITS}, or the path of an .npz file")
    return split(path.stem, load_images(path), seed=SPLIT_SEED)


def digits() -> Images:
    """1,797 real images of handwritten digits, (N, 8, 8, 1), values 0..16, ten classes; no download.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    if BUNDLED.is_file():
        return load_images(BUNDLED)
    try:
        from sklearn import datasets
    except ImportError:
        raise HostError(
            "scikit-learn, which holds the digits, is not installed; allowed: pip install 'cpt-fpga[torch]', "
            "or --data with a file of images"
        ) from None
    bunch = datasets.load_digits()
    return Images(bunch.images[..., None].astype(np.float32), bunch.target.astype(np.int64))
