"""A network of the user's, ``FILE.py:function``; whatever fails inside the file is one line that names it."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cpt.model.data.source import read_bytes


class OwnNetwork:
    """A function of a Python file that makes a classifier.

    It is called with those of ``classes``, ``channels`` and ``image_size`` (height, width) that it has
    parameters for, and returns a module from images (N, channels, height, width) to logits (N, classes).
    Raises `ValueError` in one line.
    """

    def __init__(self, spelled: str) -> None:
        name, _, self.function = spelled.rpartition(":")
        if not name.endswith(".py") or not self.function.isidentifier():
            raise ValueError(f"network is {spelled!r}; allowed: FILE.py:function")
        self.path = Path(name)
        self.sha256 = hashlib.sha256(read_bytes(self.path)).hexdigest()
        self.name = f"{self.path.name}:{self.function}"
        """Without the folder: the same wherever the file lies."""

    def stated(self) -> dict[str, str]:
        """What a run records, and its resumption compares."""
        return {"network": self.name, "network_sha256": self.sha256}

    def build(self, classes: int, channels: int, image_size: tuple[int, int]) -> nn.Module:
        """The module, in full precision, tried on two images of zeros."""
        given = {"classes": classes, "channels": channels, "image_size": image_size}

        def make() -> nn.Module:
            function = self._function()
            parameters = inspect.signature(function).parameters
            takes_all = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
            return function(**{name: given[name] for name in given if takes_all or name in parameters})

        model = self._run(make)
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"network {self.name} gives a {type(model).__name__}; allowed: a torch.nn.Module"
            )
        model.eval()
        with torch.no_grad():
            logits = self._run(lambda: model(torch.zeros(2, channels, *image_size)))
        model.train()
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (2, classes):
            found = shape or type(logits).__name__
            raise ValueError(f"network {self.name} makes {found} of 2 images; allowed: (2, {classes})")
        return model

    def _function(self) -> Callable[..., Any]:
        spec = importlib.util.spec_from_file_location("own_network", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = getattr(module, self.function, None)
        if not callable(found):
            raise ValueError(
                f"network {self.path} has no function {self.function!r}; allowed: one of the file's"
            )
        return found

    def _run(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            # the file is the user's and may raise anything
            frames = [
                f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(self.path)
            ]
            line = error.lineno if isinstance(error, SyntaxError) else frames[-1] if frames else None
            if line is None and str(error).startswith("network "):
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"network {self.path}{f' line {line}' if line else ''}: {reason}") from None
