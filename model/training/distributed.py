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

from model.functional import Noise, Range
from model.quantisers import DoReFa, Quantiser, Sbm
from model.quantize import precisions

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

    def check_batch(self, batch: int) -> None:
        """Raise `ValueError` if a batch cannot be divided among the processes."""
        if batch % self.world:
            raise ValueError(f"batch-size is {batch}; allowed: a multiple of the {self.world} processes")

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

    def share(self, model: nn.Module, quantiser: str) -> None:
        """Make a quantised model use the statistics of the whole batch; in place."""
        if self.world == 1:
            return
        if quantiser == "wageubn":
            raise ValueError(f"quantiser is 'wageubn' with {self.world} processes; allowed: sbm, dorefa")
        for item in precisions(model).values():
            item.quantiser = _shared(item.quantiser, self.rank)
        for name, module in list(model.named_modules()):
            if type(module) is nn.BatchNorm2d:
                parent, _, attribute = name.rpartition(".")
                setattr(model.get_submodule(parent), attribute, SharedBatchNorm2d.from_float(module))

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
        """A layer that shares the parameters and buffers of ``norm``."""
        new = cls(norm.num_features, norm.eps, norm.momentum, device="meta")
        new.weight, new.bias = norm.weight, norm.bias
        new.running_mean, new.running_var = norm.running_mean, norm.running_var
        new.num_batches_tracked = norm.num_batches_tracked
        return new.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        axes, column = (0, 2, 3), (1, -1, 1, 1)
        count = input.numel() // input.shape[1] * dist.get_world_size()
        mean = SumOverProcesses.apply(input.sum(axes)) / count
        centred = input - mean.view(column)
        var = SumOverProcesses.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * count / max(1, count - 1), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight / (var + self.eps).sqrt()
        return centred * scale.view(column) + self.bias.view(column)


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

    def __init__(self, own: Sbm, rank: int) -> None:
        super().__init__(own.floor, own.forward_weights_in_dx)
        self.rank = rank

    def tensor_range(self, x: Tensor) -> Range:
        found = super().tensor_range(x)
        ends = torch.stack((-found.lo, found.hi))
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        return Range(-ends[0], ends[1])

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        return super()._gradient_rule(grad, bits, _own_noise(noise, grad, self.rank))


class SharedDoReFa(DoReFa):
    """DoReFa, whose ranges are per sample, with the noise of this process's samples."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def _gradient_rule(self, grad: Tensor, bits: Tensor, noise: Noise | None) -> Tensor:
        return super()._gradient_rule(grad, bits, _own_noise(noise, grad, self.rank))


def _shared(own: Quantiser, rank: int) -> Quantiser:
    if isinstance(own, Sbm):
        return SharedSbm(own, rank)
    assert isinstance(own, DoReFa)
    return SharedDoReFa(rank)


def _own_noise(noise: Noise | None, grad: Tensor, rank: int) -> Noise | None:
    """Noise numbered on from the parts of the processes before."""
    return noise and noise._replace(offset=rank * grad.numel())
