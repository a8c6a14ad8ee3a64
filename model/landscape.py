"""Loss around trained weights, along filter-normalised directions (Li et al., NeurIPS 2018, section 4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Landscape:
    """``positions`` (P,), in lengths of the weights; ``losses`` (P,) or (P, P), first direction first."""

    positions: np.ndarray
    losses: np.ndarray


def filter_normalised(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """A random direction in weight space, by parameter.

    Normal noise whose every filter (slice of a parameter's first axis) has the norm of the model's. Biases
    and batch norm (parameters of at most one axis) stay as they are: their direction is 0. ``seed`` alone
    decides the noise, so that networks of one kind are seen along the same one.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim <= 1:
            direction[name] = torch.zeros_like(parameter)
            continue
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        shape = (-1, *(1,) * (parameter.ndim - 1))
        length = noise.flatten(1).norm(dim=1).reshape(shape).clamp_min(1e-12)
        direction[name] = noise / length * parameter.detach().flatten(1).norm(dim=1).reshape(shape)
    return direction


@torch.no_grad()
def landscape(
    model: nn.Module,
    loss: Callable[[], float],
    axes: int = 2,
    span: float = 1.0,
    points: int = 21,
    seed: int = 0,
) -> Landscape:
    """``loss()`` of ``model`` on a grid of ``points`` per axis from ``-span`` to ``span``.

    ``axes`` 1 or 2. The weights are as before afterwards. Raises `ValueError` naming a wrong setting.
    """
    if axes not in (1, 2):
        raise ValueError(f"axes is {axes}; allowed: 1, 2")
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points is {points}; allowed: an odd number from 3, so that the weights are one")
    if not 0 < span < float("inf"):
        raise ValueError(f"span is {span}; allowed: above 0")
    positions = np.linspace(-span, span, points)
    directions = [filter_normalised(model, 2 * seed + axis) for axis in range(axes)]
    trained = {name: parameter.clone() for name, parameter in model.named_parameters()}
    losses = np.empty((points,) * axes)
    try:
        for index in itertools.product(range(points), repeat=axes):
            for name, parameter in model.named_parameters():
                parameter.copy_(trained[name])
                for place, direction in zip(index, directions, strict=True):
                    parameter.add_(direction[name], alpha=float(positions[place]))
            losses[index] = loss()
    finally:
        for name, parameter in model.named_parameters():
            parameter.copy_(trained[name])
    return Landscape(positions, losses)
