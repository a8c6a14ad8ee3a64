"""Data-parallel training under ``torchrun``: as if one process had the whole batch.

Every process takes an equal part of each batch. Batch norm, the ranges of activations and gradients, and the
numbering of the stochastic rounding are those of the whole batch, and gradients are summed; so losses equal
those of one process up to the order of float32 sums.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from cpt.model.functional import Noise, Range
from cpt.model.layers import FixedPointBatchNorm2d
from cpt.model.layers.adopt import adopt
from cpt.model.quantisers import DoReFa, Fabric, Quantiser, Sbm, Wageubn
from cpt.model.quantize import precisions, replace_

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


class Processes:
    """The processes of a run: this one's ``rank`` of ``world``, and its ``device``."""

    def __init__(self, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.device, self.rank, self.world = device, rank, world

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def part(self, index: np.ndarray) -> np.ndarray:
        """This process's part of a batch."""
        share = len(index) // self.world
        return index[self.rank * share : (self.rank + 1) * share]

    def check_batch(self, batch: int, name: str = "batch-size") -> None:
        """Raise `ValueError` if a batch cannot be divided among the processes."""
        if batch % self.world:
            raise ValueError(f"{name} is {batch}; allowed: a multiple of the {self.world} processes")

    def sum_(self, x: Tensor) -> Tensor:
        """``x`` summed over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(x)
        return x

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Add up the gradients of all processes."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.world == 1 or not grads:
            return
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat)
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view(grad.shape))

    def gather(self, x: Tensor, axis: int) -> Tensor:
        """The parts of all processes, joined along ``axis``."""
        if self.world == 1:
            return x
        parts = [torch.empty_like(x) for _ in range(self.world)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, axis)

    def share(self, model: nn.Module) -> None:
        """Make a quantised model use the statistics of the whole batch; in place."""
        if self.world == 1:
            return
        items = list(precisions(model).values())
        shared_quantisers = [_shared(item.quantiser, self.rank) for item in items]
        for item, quantiser in zip(items, shared_quantisers, strict=True):
            item.quantiser = quantiser
        shared: dict[nn.Module, nn.Module] = {}
        for module in model.modules():
            if type(module) is nn.BatchNorm2d:
                shared[module] = SharedBatchNorm2d.from_float(module)
            elif type(module) is FixedPointBatchNorm2d:
                shared[module] = SharedFixedPointBatchNorm2d.from_float(module)
        replace_(model, shared)

    def close(self) -> None:
        """Leave the group of processes."""
        if self.world > 1:
            dist.destroy_process_group()


def join(device: str) -> Processes:
    """The processes that ``torchrun`` started, or this one alone; ``device``: cpu or cuda.

    Raises `ValueError` if the device is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', and no GPU was found; allowed here: cpu")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Processes(torch.device(device))
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group(BACKENDS[device])
    return Processes(place, rank, world)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the batches of all processes; works on CPUs, unlike torch's own."""

    @classmethod
    def from_float(cls, norm: nn.BatchNorm2d) -> SharedBatchNorm2d:
        """A layer with all that ``norm`` holds."""
        return adopt(cls, norm)

    def to_float(self) -> nn.BatchNorm2d:
        """The layer that this one was made from, with the weights and statistics of now."""
        return adopt(nn.BatchNorm2d, self)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var, count = shared_moments(input)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * count / max(1, count - 1), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight / (var + self.eps).sqrt()
        column = (-1, 1, 1)
        return (input - mean.view(column)) * scale.view(column) + self.bias.view(column)


class SharedFixedPointBatchNorm2d(FixedPointBatchNorm2d):
    """WAGEUBN's batch norm over the batches of all processes."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, int]:
        return shared_moments(x)


def shared_moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of each channel of (N, C, H, W), and of how many values, over all processes."""
    axes, count = (0, 2, 3), x.numel() // x.shape[1] * dist.get_world_size()
    mean = SumOverProcesses.apply(x.sum(axes)) / count
    var = SumOverProcesses.apply((x - mean.view(-1, 1, 1)).square().sum(axes)) / count
    return mean, var, count


class SumOverProcesses(Function):
    """Sum over all processes; so is its gradient, because every process's loss depends on the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


class SharedSbm(Sbm):
    """SBM with the ranges of all processes' parts."""

    numbers_whole_batch = True

    def __init__(self, own: Sbm, rank: int) -> None:
        super().__init__(own.floor, own.forward_weights_in_dx)
        self.rank = rank

    def tensor_range(self, x: Tensor) -> Range:
        found = super().tensor_range(x)
        # Not a number becomes infinite: a maximum may lose it, and all processes are to stop together.
        ends = torch.stack((-found.lo, found.hi)).nan_to_num(torch.inf, torch.inf, -torch.inf)
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        return Range(-ends[0], ends[1])

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        return super()._gradient_rule(grad, bits, _own_noise(noise, grad, self.rank))


class SharedFabric(SharedSbm, Fabric):
    """The fabric's codes with the ranges of all processes' parts."""


class SharedDoReFa(DoReFa):
    """DoReFa, whose ranges are per sample, with the noise of this process's samples."""

    numbers_whole_batch = True

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        return super()._gradient_rule(grad, bits, _own_noise(noise, grad, self.rank))


class SharedWageubn(Wageubn):
    """WAGEUBN with the largest error of all processes' parts."""

    numbers_whole_batch = True

    def largest(self, grad: Tensor) -> Tensor:
        found = super().largest(grad)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return found


def _shared(own: Quantiser, rank: int) -> Quantiser:
    """``own`` with the statistics of the whole batch; raises `ValueError` where nobody knows how."""
    if own.numbers_whole_batch:
        return own
    # Exact classes: what a subclass does differently would be lost.
    if type(own) is Sbm:
        return SharedSbm(own, rank)
    if type(own) is Fabric:
        return SharedFabric(own, rank)
    if type(own) is Wageubn:
        return SharedWageubn(own.flagged_errors)
    if type(own) is DoReFa:
        return SharedDoReFa(rank)
    raise ValueError(
        f"quantiser is {type(own).__name__} under torchrun; allowed: Sbm, DoReFa, Wageubn, Fabric, "
        "or one that sets numbers_whole_batch"
    )


def _own_noise(noise: Noise | None, grad: Tensor, rank: int) -> Noise | None:
    """Noise numbered on from the parts of the processes before."""
    return noise and noise._replace(offset=rank * grad.numel())
