"""scikit-learn's handwritten digits as arrays: 1,797 real images of 8 x 8 pixels, ten classes."""

from __future__ import annotations

import numpy as np

from host.data import Dataset, Images, split
from host.errors import HostError

SPLIT_SEED = 0
"""Which images are held out; the same for every training seed, so that runs are compared on one test set."""


def load_digits(test_fraction: float = 0.2) -> Dataset:
    """The digits, standardised, with ``test_fraction`` of each class held out.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise HostError(
            "scikit-learn, which holds the digits, is not installed; allowed: pip install 'cpt-fpga[model]'"
        ) from None
    bunch = datasets.load_digits()
    images = Images(bunch.images[..., None].astype(np.float32), bunch.target.astype(np.int64))
    return split("digits", images, test_fraction=test_fraction, seed=SPLIT_SEED)
