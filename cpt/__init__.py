"""Cyclic precision training: the ``cpt`` command line, and the torch library's names, loaded on first use."""

from __future__ import annotations

from typing import Any

import model


def __getattr__(name: str) -> Any:
    if name not in model.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(model, name)
