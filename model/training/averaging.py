"""Stochastic weight averaging: the mean of the weights after several epochs (Izmailov et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cpt.model.layer_precisions import precisions


class WeightAverage:
    """Mean of the parameters at every `update`."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's parameters."""
        self.count += 1
        for name, parameter in model.named_parameters():
            if name not in self.mean:
                self.mean[name] = parameter.detach().clone()
            else:
                self.mean[name].lerp_(parameter.detach(), 1 / self.count)

    def load(self, count: int, mean: Mapping[str, Tensor]) -> None:
        """Go on from a saved average."""
        self.count, self.mean = count, dict(mean)

    @contextmanager
    def applied(self, model: nn.Module, forward: Callable[[], object]) -> Iterator[nn.Module]:
        """The model with the mean weights for a while.

        ``forward`` runs about a hundred training batches through it, from which batch norm's statistics and
        the ranges of activations are made anew: those of the last weights do not fit the mean ones.
        """
        before = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(self.mean[name])
                for module in model.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.reset_running_stats()
                for item in precisions(model).values():
                    item.range.zero_()
                model.train()
                forward()
            yield model
        finally:
            model.load_state_dict(before)
