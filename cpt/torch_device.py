"""Devices that torch commands run on."""

from __future__ import annotations

import torch

from hw.contract import ContractError

DEVICES = ("cpu", "cuda")


def require_device(name: str) -> None:
    """Raise `ContractError` unless torch can compute on ``name``."""
    if name not in DEVICES:
        raise ContractError(f"device is {name!r}; allowed: {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ContractError("device is 'cuda', and torch finds no GPU here; allowed here: cpu")
