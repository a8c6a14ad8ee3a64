"""Once per step: gradients of micro-batches added up, and the weights' update, in float32 (`float_unit`)."""

from __future__ import annotations

import numpy as np

from cpt.model.golden.fabric import float_unit as fl


def weight_gradient(product: np.ndarray, error_unit: np.ndarray, input_unit: np.ndarray) -> np.ndarray:
    """dW of one micro-batch, ``fl(fl(P) * fl(error_unit * input_unit))``; P of `product.weight_product`."""
    return fl.multiply(fl.from_integer(product), fl.multiply(error_unit, input_unit))


def accumulate(total: np.ndarray | None, gradient: np.ndarray) -> np.ndarray:
    """Gradients of micro-batches in order: ``G = g_0``, then ``G = fl(G + g_m)``."""
    return gradient if total is None else fl.add(total, gradient)


def momentum_update(
    weight: np.ndarray,
    velocity: np.ndarray,
    gradient: np.ndarray,
    rate: np.float32,
    momentum: np.float32,
    decay: np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and velocity after a step.

    ``v = fl(fl(momentum*v) + fl(G + fl(decay*w)))``, ``w = fl(w - fl(rate*v))``.
    """
    pull = fl.multiply_add(decay, weight, gradient)
    velocity = fl.multiply_add(momentum, velocity, pull)
    return fl.subtract(weight, fl.multiply(rate, velocity)), velocity
