"""Batch normalisation over all but the last axis, in float32."""

from __future__ import annotations

import numpy as np

from cpt.host.layers.layer import Layer, Parameter, StepContext
from cpt.model.arithmetic import divide, reciprocal_root, sum_in_halves


class BatchNorm(Layer):
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` per channel of ``x`` (..., C).

    Training uses the batch's statistics and moves the running ones by ``momentum`` (unbiased variance);
    evaluation uses the running ones. Sums over positions are `sum_in_halves`.
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
            factor = gamma * reciprocal_root(self.buffers["var"] + self.eps)
            return (rows * factor + (beta - self.buffers["mean"] * factor)).reshape(x.shape)
        count = rows.shape[0]
        mean = divide(sum_in_halves(rows), np.float32(count))
        centred = rows - mean
        var = divide(sum_in_halves(centred * centred, overwrite=True), np.float32(count))
        self._inverse = reciprocal_root(var + self.eps)
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
        d_beta = sum_in_halves(rows)
        d_gamma = sum_in_halves(rows * self._normalised, overwrite=True)
        self.parameters["beta"].grad, self.parameters["gamma"].grad = d_beta, d_gamma
        d_x = self._normalised
        d_x *= divide(-d_gamma, count)
        d_x += rows
        d_x -= divide(d_beta, count)
        d_x *= self.parameters["gamma"].value * self._inverse
        self._normalised = np.empty(0, np.float32)
        return d_x.reshape(grad.shape)
