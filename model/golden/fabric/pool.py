"""Pooling over whole images (F4) and its gradient."""

from __future__ import annotations

import numpy as np

from cpt.model.golden.fabric.checks import LARGEST, OPERAND_BITS, fits, within


def pool_sums(x: np.ndarray) -> np.ndarray:
    """F4: sums of the residual stream (N, H, W, C), int16, over each image: int64 (N, C), 32 bits."""
    batch, _, _, channels = x.shape
    return fits("pooled sum", x.reshape(batch, -1, channels).sum(1, dtype=np.int64), OPERAND_BITS + 7)


def pool_gradient(gradient: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Gradient of the stream: each image's ``gradient`` (N, C), int16, wherever ``mask`` (N, H, W, C) is set.

    int16 (N, H, W, C); the division by the image's pixels is in the gradient's unit.
    """
    within("gradient of pooling", gradient, -LARGEST, LARGEST)
    return gradient[:, None, None, :].astype(np.int16) * mask
