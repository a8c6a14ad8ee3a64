"""Networks by name, their options, and whole steps of them: for commands that look at steps alone."""

from __future__ import annotations

import argparse

import numpy as np

from cpt.command_line import check_range
from cpt.host.config import MICRO_BATCH, TrainConfig, resnet_depth, settled
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.model.architecture import Conv, cifar_resnet, mobilenet_v2
from cpt.model.bitops import PAPER_BATCH
from cpt.model.golden.fabric.network import Network
from cpt.model.run_config import LARGEST
from cpt.sim.memory import MEMORY_MODELS, MemoryModel
from cpt.sim.step.forecast import Forecast

MOBILENET = "mobilenetv2"
LARGEST_IMAGE = 1024
CLASSES, CHANNELS = 10, 3
SMALLER = (8, 4, 2, 1)
"""Micro-batches that are tried where the usual one does not fit."""


def add_network(parser: argparse.ArgumentParser) -> None:
    """Options that say which network is trained in what steps, with which memory."""
    parser.add_argument(
        "--model",
        default="resnet20",
        metavar="NETWORK",
        help=f"resnetD with D = 6n+2, or {MOBILENET} (default: resnet20)",
    )
    parser.add_argument(
        "--memory", default="ps-ddr", metavar="NAME", help=f"{', '.join(MEMORY_MODELS)} (default: ps-ddr)"
    )
    for name, value, text in (
        ("size", 32, "pixels of an image's side"),
        ("width", 16, "channels of a ResNet's first stage"),
        ("batch", PAPER_BATCH, "images of a step"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default: {value})"
        )


def check_network(arguments: argparse.Namespace) -> None:
    """Raise `ContractError` for numbers of `add_network` that nothing takes."""
    check_range("size", arguments.size, 1, LARGEST_IMAGE)
    check_range("width", arguments.width, 1, LARGEST["width"])
    check_range("batch", arguments.batch, 1, LARGEST["batch_size"])


def described(name: str, size: int, width: int = 16) -> Network:
    """What trains of ``resnetD`` with ``width`` channels in its first stage, or of MobileNetV2.

    Images are of ``size`` x ``size``, in colours. Raises `ContractError` for another name.
    """
    numbers = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    if name == MOBILENET:
        return Network.mobilenet(mobilenet_v2(CLASSES, size, CHANNELS), *numbers)
    try:
        depth = resnet_depth(name)
    except ContractError as error:
        raise ContractError(f"{error}, {MOBILENET}") from None
    return Network.residual(cifar_resnet(depth, CLASSES, size, CHANNELS, width), *numbers)


def convolutions(network: Network) -> list[Conv]:
    """In the order of the forward pass."""
    return [layer.shape for layer in network.layers]


def step_forecast(
    array: ArrayConfig, memory: MemoryModel, network: Network, plan: TrainConfig
) -> tuple[Forecast, int]:
    """Steps of ``plan``, and the images of a micro-batch: as it says, else the most that the machine takes.

    Raises `ContractError` for what it takes in no way.
    """
    usual = settled(plan).micro_batch
    sizes = [usual] if plan.micro_batch else [usual, *(n for n in SMALLER if n < min(usual, MICRO_BATCH))]
    for size in sizes:
        if plan.batch_size % size:
            continue
        try:
            return Forecast(array, memory, network, settled(plan.replace(micro_batch=size))), size
        except ContractError as error:
            failed = error
    raise failed
