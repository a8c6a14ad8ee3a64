"""Options of the torch commands beside ``cpt train`` that say where they compute."""

from __future__ import annotations

import argparse

import torch

from cpt.hw.contract import ContractError

DEVICES = ("cpu", "cuda")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--threads``."""
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help=f"{', '.join(DEVICES)} (default: cpu)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def chosen_device(arguments: argparse.Namespace) -> torch.device:
    """The device that the options name; raises `ContractError` unless torch can compute on it."""
    name, threads = arguments.device, arguments.threads
    if name not in DEVICES:
        raise ContractError(f"device is {name!r}; allowed: {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ContractError("device is 'cuda', and no GPU was found; allowed here: cpu")
    if threads < 1:
        raise ContractError(f"threads is {threads}; allowed: at least 1")
    torch.set_num_threads(threads)
    return torch.device(name)
