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
    terms = fl.multiply(inputs[:, None, :], weight)
    total = np.broadcast_to(bias, (len(inputs), len(bias)))
    for j in range(inputs.shape[1]):
        total = fl.add(total, terms[..., j])
    return total


def weight_gradients(inputs: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dW (classes, C) and db (classes,): chains over images in order, from 0."""
    terms = fl.multiply(gradient[:, :, None], inputs[:, None, :])
    d_weight, d_bias = np.zeros_like(terms[0]), np.zeros_like(gradient[0])
    for image in range(len(inputs)):
        d_weight = fl.add(d_weight, terms[image])
        d_bias = fl.add(d_bias, gradient[image])
    return d_weight, d_bias


def input_gradient(gradient: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient of the inputs, (N, C): chains over classes in order, from 0."""
    terms = fl.multiply(gradient[:, :, None], weight)
    total = np.zeros_like(terms[:, 0])
    for k in range(len(weight)):
        total = fl.add(total, terms[:, k])
    return total
