"""Noise of stochastic rounding on the fabric: one hash for four neighbouring pixels, a byte for each.

Source: docs/numerics.md, "The step on the fabric".
"""

from __future__ import annotations

import numpy as np

from cpt.model.noise import GOLDEN, MASK, extended, hashes, noise_key

PIXELS = 4
"""Neighbours in a row that share a hash: bytes 0 (the lowest) to 3 of it."""


def error_key(seed: int, step: int, layer: int, micro_batch: int) -> int:
    """Key of the errors of one layer in one micro-batch: `noise_key` with a fourth part, each below 2**32."""
    return extended(noise_key(seed, step, layer), "micro-batch", micro_batch)


def noise_bytes(key: int, shape: tuple[int, int, int, int], image: int = 0) -> np.ndarray:
    """Noise of a tensor ``shape`` (N, H, W, C): uint8 of that shape; its first image is number ``image``.

    Element (n, y, x, c) has number ``i = ((n*C + c)*H + y)*pitch + x``, the pitch being W rounded up to a
    multiple of four, so that no hash spans two rows; its noise is byte ``i % 4`` (0 is the lowest) of
    ``mix((i >> 2) * GOLDEN + key)``. A channel's rows follow each other, as the lanes walk them.
    """
    batch, height, width, channels = shape
    words = -(-width // PIXELS)
    each = channels * height * words
    found = hashes(key + image * each * GOLDEN & MASK, batch * each).astype("<u4").view(np.uint8)
    rows = found.reshape(batch, channels, height, words * PIXELS)[..., :width]
    return np.ascontiguousarray(rows.transpose(0, 2, 3, 1))
