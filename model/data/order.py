"""Random choices of a run as pure functions of (seed, epoch, sample): nothing to save, any run replays."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cpt.model.noise import noise_key, uniform

ORDER_STREAM = 0xFFFF_FFFF
"""Noise streams beside those of the layers, which count from 0; the order is that of `cpt.host.data`."""
AUGMENT_STREAM = 0xFFFF_FFFB
DROPOUT_STREAM = 0xFFFF_FFFA


def shuffled(count: int, seed: int, epoch: int, stream: int = ORDER_STREAM) -> np.ndarray:
    """A permutation of ``count`` indices."""
    return np.argsort(uniform(noise_key(seed, epoch, stream), count), kind="stable")


def draws(index: np.ndarray, count: int, seed: int, epoch: int, total: int) -> np.ndarray:
    """``count`` numbers in [0, 1) for each sample of ``index`` in this epoch: (len(index), count) float32.

    ``total``: samples of the epoch; the numbers do not depend on it.
    """
    return _all_draws(count, seed, epoch, total)[index]


@lru_cache(maxsize=2)
def _all_draws(count: int, seed: int, epoch: int, total: int) -> np.ndarray:
    """Those of all samples: made once per epoch, which takes less than a sample at a time does per batch."""
    key = noise_key(seed, epoch, AUGMENT_STREAM)
    return uniform(key, count * total).reshape(total, count) + np.float32(0.5)


def choose(draw: np.ndarray, choices: int) -> np.ndarray:
    """Whole numbers 0 .. choices-1 from numbers in [0, 1)."""
    return np.minimum((draw * np.float32(choices)).astype(np.int64), choices - 1)
