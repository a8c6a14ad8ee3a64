"""A quantiser of the user's, ``FILE.py:class``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers import LayerPrecision
from cpt.model.quantisers import Quantiser, make_quantiser, register_quantiser
from cpt.model.training.own_file import OwnFile


class OwnQuantiser(OwnFile):
    """A class derived from `Quantiser` in a Python file, whether registered there or not."""

    kind = "quantiser"
    called = "class"

    def load(self) -> None:
        """Register it by the name that records have."""

        def add() -> None:
            found = self.found()
            if not (isinstance(found, type) and issubclass(found, Quantiser)):
                raise ValueError(
                    f"quantiser {self.name} is {found!r}; allowed: a class derived from Quantiser"
                )
            register_quantiser(self.name)(found).stated = self.stated()

        self.run(add)

    @classmethod
    def given(cls, spelled: str | None) -> OwnQuantiser | None:
        """The quantiser ``spelled``, loaded, if that is no name of one."""
        if spelled is None or ":" not in spelled:
            return None
        own = cls(spelled)
        own.load()
        return own

    def try_options(self, options: Mapping[str, Any]) -> None:
        """Raise `ValueError` where the class does not take ``options``."""
        self.run(lambda: make_quantiser(self.name, options))

    def check(self, config: QuantConfig) -> None:
        """Raise `ValueError` unless the loaded quantiser does on a layer what is expected of it."""

        def step() -> None:
            layers: list[nn.Conv2d | nn.Linear] = [nn.Conv2d(2, 4, 3), nn.Linear(8, 4)]
            for layer, shape in zip(layers, ((2, 2, 5, 5), (2, 8)), strict=True):
                x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
                least = config.plug.least_bits
                precision = LayerPrecision(dataclasses.replace(config, fw=max(4, least), bw=max(4, least)), 0)
                weight, weight_dx = precision.weights(layer.weight)
                image = x.dim() == 4
                y = precision.gradient(precision.activation(x, image), channels_first=image)
                for what, got, like in (
                    ("weights", weight, layer.weight),
                    ("weights of dX", layer.weight if weight_dx is None else weight_dx, layer.weight),
                    ("activations", y, x),
                ):
                    if got.shape != like.shape:
                        raise ValueError(
                            f"quantiser {self.name} makes {what} {tuple(got.shape)} of {tuple(like.shape)}; "
                            "allowed: the same shape"
                        )
                (weight.square().sum() + y.square().sum()).backward()
                self._trains("weights", layer.weight)
                self._trains("activations", x)

        self.run(step)

    def _trains(self, what: str, x: Tensor) -> None:
        if x.grad is None or not x.grad.any():
            raise ValueError(
                f"quantiser {self.name} lets no gradient through to {what}; allowed: straight through "
                "(cpt.model.estimators.StraightThrough)"
            )
