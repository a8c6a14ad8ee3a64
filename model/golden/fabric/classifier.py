"""The linear classifier behind pooling, in float32: chains of multiply-adds, each of which rounds twice.

A chain's terms follow each other; chains of other images, classes or inputs are independent of it.
"""

from __future__ import annotations

import numpy as np

from cpt.model.golden.fabric import float_unit as fl


def features(sums: np.ndarray, unit: int, pixels: int) -> np.ndarray:
    """Means (N, C) of the stream, ``fl(sum) * (fl(1/pixels) * 2^unit)``; ``sums`` of `pool.pool_sums`."""
    return fl.multiply(fl.from_integer(sums), fl.scale(fl.fraction(pixels), unit))


def logits(inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(N, classes): ``a = bias; a = a + x_j*w_j`` for inputs j in order. ``weight`` (classes, C)."""
    total = np.broadcast_to(bias, (len(inputs), len(bias)))
    for j in range(inputs.shape[1]):
        total = fl.multiply_add(inputs[:, j, None], weight[:, j], total)
    return total


def weight_gradients(inputs: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dW (classes, C) and db (classes,): chains over images in order, from 0."""
    d_weight = np.zeros((gradient.shape[1], inputs.shape[1]), np.float32)
    d_bias = np.zeros(gradient.shape[1], np.float32)
    for image in range(len(inputs)):
        d_weight = fl.multiply_add(gradient[image, :, None], inputs[image], d_weight)
        d_bias = fl.add(d_bias, gradient[image])
    return d_weight, d_bias


def input_gradient(gradient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient of the inputs, (N, C): chains over classes in order, from 0."""
    total = np.zeros((len(gradient), weight.shape[1]), np.float32)
    for k in range(len(weight)):
        total = fl.multiply_add(gradient[:, k, None], weight[k], total)
    return total
