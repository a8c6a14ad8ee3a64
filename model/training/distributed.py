"""Data-parallel training under ``torchrun``: as if one process had the whole batch.

Every process takes an equal part of each batch. Batch norm, the ranges of activations and gradients, and the
numbering of the stochastic rounding are those of the whole batch, and gradients are summed; so losses equal
those of one process up to the order of float32 sums.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from cpt.model.layers import Quantised, adopt
from cpt.model.quantisers.base import PartOfBatch
from cpt.model.quantisers.rehearsal import check_parts
from cpt.model.quantize import replace_

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
        """Make a quantised model use the statistics of the whole batch; in place.

        Raises `ValueError` for a quantiser that does not ask for them; the model is then as it was.
        """
        if self.world == 1:
            return
        quantised = [module for module in model.modules() if isinstance(module, Quantised)]
        for quantiser in {module.config.plug for module in quantised}:
            check_parts(quantiser)
        batch = SharedBatch(self.rank, self.world)
        for module in quantised:
            module.batch = batch
        norms = [module for module in model.modules() if type(module) is nn.BatchNorm2d]
        replace_(model, {norm: SharedBatchNorm2d.from_float(norm, batch) for norm in norms})

    def close(self) -> None:
        """Leave the group of processes."""
        if self.world > 1:
            dist.destroy_process_group()

    def succeed(self) -> None:
        """What this process was started for is done: when Python ends, so does the process, at once.

        In torch 2.13 one of several processes aborts in C++ destructors now and then ("terminate called
        without an active exception", one run in 24 on a busy machine), and torchrun then ends the others.
        """
        if self.world > 1:
            atexit.register(_end)


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


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

    batch: SharedBatch

    @classmethod
    def from_float(cls, norm: nn.BatchNorm2d, batch: SharedBatch) -> SharedBatchNorm2d:
        """A layer with all that ``norm`` holds."""
        new = adopt(cls, norm)
        new.batch = batch
        return new

    def to_float(self) -> nn.BatchNorm2d:
        """The layer that this one was made from, with the weights and statistics of now."""
        new = adopt(nn.BatchNorm2d, self)
        del new.batch
        return new

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var, count = self.batch.moments(input)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * count / max(1, count - 1), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight / (var + self.eps).sqrt()
        column = (-1, 1, 1)
        return (input - mean.view(column)) * scale.view(column) + self.bias.view(column)


class SharedBatch(PartOfBatch):
    """The batch of all processes."""

    def largest(self, x: Tensor) -> Tensor:
        # Not a number becomes infinite: a maximum may lose it, and all processes are to stop together.
        found = x.nan_to_num(torch.inf, torch.inf, -torch.inf)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return found

    def sum(self, x: Tensor) -> Tensor:
        return SumOverProcesses.apply(x)


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
