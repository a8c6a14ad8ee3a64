"""Softmax cross-entropy and its gradient."""

from __future__ import annotations

import numpy as np

from cpt.model.arithmetic import divide, exponential, logarithm, sum_in_halves


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, batch: int | None = None
) -> tuple[float, np.ndarray]:
    """Mean loss in nats and the gradient of ``logits`` (N, classes), float32, for integer ``labels`` (N,).

    ``batch``: images of the whole batch, of which these may be a part; loss and gradient are divided by it.
    Sums over classes and over images are `sum_in_halves`.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = exponential(shifted)
    totals = sum_in_halves(exponentials.T)[:, None]
    rows = np.arange(labels.shape[0])
    losses = logarithm(totals[:, 0]) - shifted[rows, labels]
    grad = divide(exponentials, totals)
    grad[rows, labels] -= 1
    count = np.float32(batch or labels.shape[0])
    return float(divide(sum_in_halves(losses), count)), divide(grad, count, out=grad)


def correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of ``logits`` (N, classes) have their largest entry at the label."""
    return int((logits.argmax(axis=1) == labels).sum())
