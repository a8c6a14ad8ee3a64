"""A network of the user's, ``FILE.py:function``."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from cpt.model.training.own_file import OwnFile


class OwnNetwork(OwnFile):
    """A function of a Python file that makes a classifier.

    It is called with those of ``classes``, ``channels`` and ``image_size`` (height, width) that it has
    parameters for, and returns a module from images (N, channels, height, width) to logits (N, classes).
    """

    kind = "network"
    called = "function"

    def build(self, classes: int, channels: int, image_size: tuple[int, int]) -> nn.Module:
        """The module, in full precision, tried on two images of zeros."""
        given = {"classes": classes, "channels": channels, "image_size": image_size}

        def make() -> nn.Module:
            function = self.found()
            parameters = inspect.signature(function).parameters
            takes_all = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
            return function(**{name: given[name] for name in given if takes_all or name in parameters})

        model = self.run(make)
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"network {self.name} gives a {type(model).__name__}; allowed: a torch.nn.Module"
            )
        model.eval()
        with torch.no_grad():
            logits = self.run(lambda: model(torch.zeros(2, channels, *image_size)))
        model.train()
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (2, classes):
            found = shape or type(logits).__name__
            raise ValueError(f"network {self.name} makes {found} of 2 images; allowed: (2, {classes})")
        return model
