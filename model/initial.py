"""Weights of a new network, drawn from the counter-based noise: the same on every machine."""

from __future__ import annotations

import math

import numpy as np

from cpt.model.noise import noise_key, normal, uniform

_STREAM = 0xFFFF_FFFC
"""Noise stream beside those of the layers, which count from 0, and of `cpt.host.data`."""


class InitialWeights:
    """Initial values of one network, tensor after tensor in the order of the calls; ``seed`` decides them."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._tensors = 0

    def normal(self, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        """float32 of ``shape``, normally distributed about 0 (`cpt.model.noise.normal`)."""
        return normal(self._key(), math.prod(shape)).reshape(shape) * np.float32(deviation)

    def uniform(self, shape: tuple[int, ...], bound: float) -> np.ndarray:
        """float32 of ``shape``, evenly distributed from -bound to bound."""
        return uniform(self._key(), math.prod(shape)).reshape(shape) * np.float32(2 * bound)

    def _key(self) -> int:
        self._tensors += 1
        return noise_key(self.seed, self._tensors - 1, _STREAM)
