"""Networks by name, and what whole steps of them take: for commands that look at steps without training."""

from __future__ import annotations

import numpy as np

from cpt.host.config import MICRO_BATCH, TrainConfig, resnet_depth, settled
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.model.architecture import Conv, cifar_resnet, mobilenet_v2
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import MemoryModel
from cpt.sim.step.forecast import Forecast

MOBILENET = "mobilenetv2"
CLASSES, CHANNELS = 10, 3
SMALLER = (8, 4, 2, 1)
"""Micro-batches that are tried where the usual one does not fit."""


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
