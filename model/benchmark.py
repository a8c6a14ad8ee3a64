"""What quantised training costs: time of a step against the same step in float32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from cpt.model.config import QuantConfig
from cpt.model.networks import cifar_resnet
from cpt.model.quantize import quantize_

KINDS = ("float", "nearest", "stochastic")
"""The steps compared: float32; weights and activations quantised; gradients too, stochastically."""
_WARM_UP = 2
"""Rounds that are not counted."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a training step: medians over all rounds, and ratios to float32."""

    device: str
    threads: int
    compiled: bool
    depth: int
    batch: int
    rounds: int
    float_s: float
    nearest_s: float
    stochastic_s: float
    nearest_ratio: float
    """Median of the rounds' ratios: steps of a round follow each other, so what slows one slows all."""
    stochastic_ratio: float

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)


def benchmark_step(
    depth: int = 20,
    batch: int = 64,
    rounds: int = 10,
    device: str = "cpu",
    threads: int = 1,
    compiled: bool = False,
) -> StepTimes:
    """Time a step (forward, backward, SGD) of a CIFAR ResNet: float32, nearest, stochastic gradients.

    All three are channels-last and take turns. Raises `ValueError` naming a setting that cannot be.
    """
    for name, value in (("batch", batch), ("rounds", rounds), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} is {value}; allowed: at least 1")
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth is {depth}; allowed: 6n+2, at least 8")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = [
            _step(depth, batch, device, config, compiled)
            for config in (None, QuantConfig(bw=0), QuantConfig())
        ]
        taken = [[_seconds(step, device) for step in steps] for _ in range(_WARM_UP + rounds)][_WARM_UP:]
    finally:
        torch.set_num_threads(before)
    return StepTimes(device, threads, compiled, depth, batch, rounds, *_medians(taken))


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Median seconds of each kind of step, then median ratio of each quantised one to float32."""
    seconds = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratios = [statistics.median(row[kind] / row[0] for row in rounds) for kind in range(1, len(KINDS))]
    return seconds + ratios


def _step(
    depth: int, batch: int, device: str, config: QuantConfig | None, compiled: bool
) -> Callable[[], None]:
    """A training step of a new network; ``config`` None: in float32."""
    torch.manual_seed(0)
    net: nn.Module = cifar_resnet(depth)
    if config is not None:
        net = quantize_(net, config)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    run = torch.compile(net) if compiled else net
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch, device=device) % 10

    def step() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(run(x), y).backward()
        optimiser.step()

    return step


def _seconds(step: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start
