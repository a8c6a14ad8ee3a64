"""Graph convolutional network (Kipf and Welling, ICLR 2017)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cpt.model.networks.relu import relu_


class _SumOfNeighbours(Function):
    """(N, W) -> (N, W); its own transpose, since neighbours are mutual.

    Every number is a sum of its own in the order of the neighbours, so results repeat to the bit on GPUs too,
    where scattered additions would not.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, starts: Tensor, numbers: Tensor) -> Tensor:
        ctx.save_for_backward(starts, numbers)
        return nn.functional.embedding_bag(numbers, x, starts, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        starts, numbers = ctx.saved_tensors
        summed = nn.functional.embedding_bag(numbers, grads[0].contiguous(), starts, mode="sum")
        return summed, None, None


class Aggregation(nn.Module):
    """``D^-1/2 (A + I) D^-1/2 x`` in float32: A has a 1 for each edge, D is diagonal, row sums of A + I.

    Args:
        starts, numbers: neighbours of each node, itself among them (`cpt.model.data.Graph.neighbours`).
    """

    starts: Tensor
    numbers: Tensor
    scale: Tensor

    def __init__(self, starts: Tensor, numbers: Tensor) -> None:
        super().__init__()
        degree = torch.diff(starts, append=starts.new_tensor([len(numbers)]))
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("scale", degree.float().rsqrt()[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) -> (B, N, W), each of the batch on the same graph."""
        scaled = self.scale * x.transpose(0, 1)  # (N, B, W)
        summed = _SumOfNeighbours.apply(scaled.flatten(1), self.starts, self.numbers)
        return (self.scale * summed.view_as(scaled)).transpose(0, 1)


class GraphNetwork(nn.Module):
    """Features of all nodes (B, N, features) to logits (B, N, classes), each layer's product aggregated.

    The last layer stays in full precision. The first one does not: of the paper's two none would be left.
    """

    def __init__(
        self,
        aggregation: Aggregation,
        features: int,
        classes: int,
        width: int = 16,
        depth: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}; allowed: at least 2")
        sizes = [features, *[width] * (depth - 1), classes]
        self.layers = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(sizes))
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight)
        self.aggregation, self.dropout = aggregation, nn.Dropout(dropout)
        self.full_precision_layers = frozenset({f"layers.{depth - 1}"})

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, features) -> (B, N, classes)."""
        *inner, last = self.layers
        for layer in inner:
            x = relu_(self.aggregation(layer(self.dropout(x))))
        return self.aggregation(last(self.dropout(x)))
