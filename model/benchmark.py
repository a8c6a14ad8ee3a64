"""What quantised training costs: time of a step against the same step in float32."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from model.config import QuantConfig
from model.networks import cifar_resnet
from model.quantize import quantize_


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a training step, the fastest of all rounds, and ratios to float32."""

    device: str
    threads: int
    batch: int
    rounds: int
    float_s: float
    nearest_s: float
    stochastic_s: float

    @property
    def nearest_ratio(self) -> float:
        """Weights and activations quantised, gradients float32."""
        return self.nearest_s / self.float_s

    @property
    def stochastic_ratio(self) -> float:
        """Gradients quantised too, stochastically."""
        return self.stochastic_s / self.float_s

    def as_dict(self) -> dict[str, Any]:
        """All fields and both ratios, for JSON."""
        return {
            **asdict(self),
            "nearest_ratio": self.nearest_ratio,
            "stochastic_ratio": self.stochastic_ratio,
        }


def benchmark_step(
    depth: int = 20,
    batch: int = 64,
    rounds: int = 10,
    device: str = "cpu",
    threads: int = 1,
    compiled: bool = False,
) -> StepTimes:
    """Time a step (forward, backward, SGD) of a CIFAR ResNet: float32, nearest, stochastic gradients.

    All three are channels-last and take turns, so that what else the machine does hits them alike.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = [
            _step(depth, batch, device, config, compiled)
            for config in (None, QuantConfig(bw=0), QuantConfig())
        ]
        best = [float("inf")] * len(steps)
        for number in range(rounds + 2):
            for index, step in enumerate(steps):
                seconds = _seconds(step, device)
                if number >= 2:
                    best[index] = min(best[index], seconds)
    finally:
        torch.set_num_threads(before)
    return StepTimes(device, threads, batch, rounds, *best)


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
