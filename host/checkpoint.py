"""Checkpoints of a training run; the format is `model.checkpoint`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from model import checkpoint
from model.checkpoint import save

__all__ = ["CheckpointError", "load", "save"]


class CheckpointError(HostError):
    """A checkpoint is missing, damaged or of another kind; the message is one line."""


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and ``meta`` of a checkpoint; raises `CheckpointError` unless every hash agrees."""
    try:
        return checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        raise CheckpointError(str(error)) from None
