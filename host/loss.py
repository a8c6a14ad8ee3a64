"""Softmax cross-entropy and its gradient."""

from __future__ import annotations

import numpy as np


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean loss in nats and the gradient of ``logits`` (N, classes), float32, for integer ``labels`` (N,)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(labels.shape[0])
    losses = np.log(totals[:, 0]) - shifted[rows, labels]
    grad = exponentials / totals
    grad[rows, labels] -= 1
    grad /= np.float32(labels.shape[0])
    return float(losses.mean(dtype=np.float64)), grad


def correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of ``logits`` (N, classes) have their largest entry at the label."""
    return int((logits.argmax(axis=1) == labels).sum())
