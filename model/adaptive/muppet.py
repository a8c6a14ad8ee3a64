"""Bits rise when gradients of successive looks agree less: MuPPET's rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cpt.model.adaptive.rule import Bits, Rule, StepStatistics


class Muppet(Rule):
    """All layers at one precision, which rises by a bit when gradient diversity has fallen often enough.

    Diversity of a layer over the last ``window`` looks is ``sum |g|^2 / |sum g|^2``; of the network, its
    mean. ``p`` is the largest since the last rise over the newest. A look violates where ``p`` is above
    ``alpha + beta * exp(-decay * looks)``; after ``patience`` of them bits rise and all begins anew.

    Rajagopal et al., "Multi-precision policy enforced training (MuPPET)", ICML 2020. Own reading: looks are
    every ``interval`` steps instead of an epoch, so that short runs move, and each rise is by one bit instead
    of the paper's 8, 12, 14, 16, 32.
    """

    source = "MuPPET (ICML 2020)"

    def __init__(
        self,
        lo: int,
        hi: int,
        interval: int = 20,
        window: int = 3,
        alpha: float = 1.0,
        beta: float = 1.5,
        decay: float = 0.1,
        patience: int = 2,
    ) -> None:
        super().__init__(lo, hi, interval)
        if window < 2:
            raise ValueError(f"window is {window}; allowed: at least 2")
        self.window, self.alpha, self.beta, self.decay, self.patience = window, alpha, beta, decay, patience
        self.bits, self.looks, self.violations = lo, 0, 0
        self.largest = 0.0
        self._kept: list[dict[str, Tensor]] = []

    def begin(self) -> int:
        return self.lo

    def observe(self, statistics: StepStatistics) -> Bits:
        self._kept.append(
            {name: layer.gradient.detach().clone() for name, layer in statistics.layers.items()}
        )
        del self._kept[: -self.window]
        if len(self._kept) < self.window or self.bits == self.hi:
            return {}
        diversity = self._diversity()
        self.largest = max(self.largest, diversity)
        threshold = self.alpha + self.beta * math.exp(-self.decay * self.looks)
        self.looks += 1
        self.violations += self.largest / diversity > threshold
        if self.violations < self.patience:
            return {}
        self.bits += 1
        self.looks, self.violations, self.largest = 0, 0, 0.0
        self._kept = []
        return dict.fromkeys(statistics.layers, self.bits)

    def arrays(self) -> dict[str, Tensor]:
        return {
            f"{number}.{name}": gradient
            for number, kept in enumerate(self._kept)
            for name, gradient in kept.items()
        }

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        self._kept = []
        for key, gradient in arrays.items():
            number, _, name = key.partition(".")
            while len(self._kept) <= int(number):
                self._kept.append({})
            self._kept[int(number)][name] = gradient

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("bits", "looks", "violations", "largest")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _diversity(self) -> float:
        found = []
        for name in self._kept[-1]:
            gradients = torch.stack([kept[name].double().flatten() for kept in self._kept])
            together = gradients.sum(0).square().sum().item()
            found.append(gradients.square().sum().item() / together if together else 1.0)
        return math.fsum(found) / len(found)
