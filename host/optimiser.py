"""Stochastic gradient descent with momentum on float32 master weights, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cpt.host.layers.layer import Parameter
from cpt.hw.contract.config import require
from cpt.model.arithmetic import cosine

LR_SCHEDULES = ("step", "cosine", "constant")


class Sgd:
    """``v = momentum*v + grad + decay*w``; ``w -= lr*v``, every array float32, in place."""

    def __init__(self, parameters: Mapping[str, Parameter], *, momentum: float, weight_decay: float) -> None:
        self.parameters = dict(parameters)
        self.momentum = np.float32(momentum)
        self.weight_decay = np.float32(weight_decay)
        self.velocity = {name: np.zeros_like(item.value) for name, item in self.parameters.items()}

    def step(self, lr: float) -> None:
        """Update every parameter from its gradient; a parameter without one is an error in the network."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                raise RuntimeError(f"{name} has no gradient: backward did not reach it")
            velocity = self.velocity[name]
            velocity *= self.momentum
            velocity += parameter.grad
            velocity += self.weight_decay * parameter.value
            parameter.value -= np.float32(lr) * velocity
            parameter.grad = None


def learning_rate(schedule: str, lr: float, done: float) -> float:
    """Learning rate when the fraction ``done`` (0..1) of the run is over.

    ``step``: times 0.1 at 50 % and at 75 % (CPT, section 4.1); ``cosine``: to 0; ``constant``.
    """
    require(schedule in LR_SCHEDULES, f"lr-schedule is {schedule!r}; allowed: {', '.join(LR_SCHEDULES)}")
    if schedule == "step":
        return lr * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
    if schedule == "cosine":
        return lr * 0.5 * (1 + cosine(math.pi * done))
    return lr
