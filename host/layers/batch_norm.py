"""Batch normalisation over all but the last axis, in float32 with float64 sums."""

from __future__ import annotations

import numpy as np

from cpt.host.layers.layer import Layer, Parameter, StepContext


class BatchNorm(Layer):
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` per channel of ``x`` (..., C).

    Training uses the batch's statistics and moves the running ones by ``momentum`` (unbiased variance);
    evaluation uses the running ones. Sums are formed in float64, everything else in float32.
    """

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = np.float32(momentum)
        self.eps = np.float32(eps)
        self.parameters = {
            "gamma": Parameter(np.ones(channels, np.float32)),
            "beta": Parameter(np.zeros(channels, np.float32)),
        }
        self.buffers = {
            "mean": np.zeros(channels, np.float32),
            "var": np.ones(channels, np.float32),
        }
        self._normalised = np.empty(0, np.float32)
        self._inverse = np.empty(0, np.float32)

    def forward(self, x: np.ndarray, context: StepContext) -> np.ndarray:
        """``x`` (..., C) normalised, same shape."""
        gamma, beta = self.parameters["gamma"].value, self.parameters["beta"].value
        rows = x.reshape(-1, x.shape[-1])
        if not context.training:
            factor = gamma / np.sqrt(self.buffers["var"] + self.eps)
            return (rows * factor + (beta - self.buffers["mean"] * factor)).reshape(x.shape)
        count = rows.shape[0]
        mean = (_column_sums(rows) / count).astype(np.float32)
        centred = rows - mean
        var = (_column_dots(centred, centred) / count).astype(np.float32)
        self._inverse = 1 / np.sqrt(var + self.eps)
        centred *= self._inverse
        self._normalised = centred
        unbiased = var * np.float32(count / max(count - 1, 1))
        for name, value in (("mean", mean), ("var", unbiased)):
            self.buffers[name] += self.momentum * (value - self.buffers[name])
        return (centred * gamma + beta).reshape(x.shape)

    def backward(self, grad: np.ndarray, context: StepContext) -> np.ndarray:
        """Gradient of the input; uses the batch statistics of the last training forward."""
        del context
        rows = grad.reshape(-1, grad.shape[-1])
        count = np.float32(rows.shape[0])
        d_beta = _column_sums(rows).astype(np.float32)
        d_gamma = _column_dots(rows, self._normalised).astype(np.float32)
        self.parameters["beta"].grad, self.parameters["gamma"].grad = d_beta, d_gamma
        d_x = self._normalised
        d_x *= -d_gamma / count
        d_x += rows
        d_x -= d_beta / count
        d_x *= self.parameters["gamma"].value * self._inverse
        self._normalised = np.empty(0, np.float32)
        return d_x.reshape(grad.shape)


def _column_sums(rows: np.ndarray) -> np.ndarray:
    """Sums over axis 0 of (P, C), float64."""
    return np.sum(rows, axis=0, dtype=np.float64)


def _column_dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sums over axis 0 of the products of two (P, C) arrays, float64."""
    return np.sum(left * right, axis=0, dtype=np.float64)
