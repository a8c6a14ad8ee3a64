"""Softmax cross-entropy and its gradient."""

from __future__ import annotations

import numpy as np

from cpt.model.arithmetic import divide, exponential, logarithm, sum_in_halves


class SoftmaxCrossEntropy:
    """Loss of a batch of ``images`` whose logits come in parts, in order.

    The next pass waits for a part's gradient and nobody for the loss, so a board's processor does what only
    the loss needs once, in the end. Sums over classes and over images are `sum_in_halves`.
    """

    def __init__(self, images: int) -> None:
        self._images = np.float32(images)
        self._totals: list[np.ndarray] = []
        self._at_labels: list[np.ndarray] = []
        self._seen: list[tuple[np.ndarray, np.ndarray]] = []

    def gradient(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Gradient of the next ``logits`` (N, classes), float32, with integer ``labels`` (N,)."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = exponential(shifted)
        totals = sum_in_halves(exponentials.T)
        grad = divide(exponentials, totals[:, None])
        rows = np.arange(len(labels))
        grad[rows, labels] -= 1
        self._totals.append(totals)
        self._at_labels.append(shifted[rows, labels])
        self._seen.append((logits, labels))
        return divide(grad, self._images, out=grad)

    def loss(self) -> float:
        """Mean over the batch, nats."""
        losses = logarithm(np.concatenate(self._totals)) - np.concatenate(self._at_labels)
        return float(divide(sum_in_halves(losses), self._images))

    def correct(self) -> int:
        """Images of the batch that `correct` counts."""
        return correct(*(np.concatenate(parts) for parts in zip(*self._seen, strict=True)))


def correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of ``logits`` (N, classes) have their largest entry at the label."""
    return int((logits.argmax(axis=1) == labels).sum())
