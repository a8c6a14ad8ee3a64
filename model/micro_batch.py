"""Steps as sums of micro-batches: weights stand still, gradients add up in order, one update.

Batch norm and the quantisers' ranges belong to one micro-batch (ghost batch norm), and so does the noise.
Running averages take ``1 - (1 - share)**(1/count)`` of each, so that a step moves them as far as before.
Source: docs/numerics.md, "Micro-batches".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from cpt.model.layers import LayerPrecision
from cpt.model.ranges import share_of_part

LEAST = 8
"""Samples below which a micro-batch was not measured to be harmless."""


class MicroBatches:
    """Steps of ``batch`` samples in micro-batches of ``size``: a model's averages made ready, and the parts.

    Raises `ValueError` naming both numbers where ``size`` does not divide ``batch``; warns below `LEAST`.
    ``set_micro_batches(model, 1)`` takes the model back to whole batches.
    """

    def __init__(self, model: nn.Module, batch: int, size: int) -> None:
        self.batch, self.size, self.count = batch, size, micro_batches(batch, size)
        if text := caution(size):
            warnings.warn(text, stacklevel=2)
        set_micro_batches(model, self.count)

    def __call__(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The parts of ``tensors`` (batch, ...), in order; a mean loss is to be divided by `count`."""
        for tensor in tensors:
            if len(tensor) != self.batch:
                raise ValueError(f"batch has {len(tensor)} samples; allowed: {self.batch}")
        return zip(*(tensor.split(self.size) for tensor in tensors), strict=True)


def micro_batches(batch: int, size: int) -> int:
    """How many micro-batches a step has; ``size`` 0 is the whole batch. Raises `ValueError`."""
    if size < 0 or (size and batch % size):
        raise ValueError(f"micro-batch is {size}; allowed: a divisor of the batch of {batch}, or 0 for all")
    return batch // size if size else 1


def caution(size: int) -> str:
    """What is to be said about micro-batches of ``size`` samples, if anything."""
    if not 0 < size < LEAST:
        return ""
    return f"micro-batch is {size}: batch norm and ranges of fewer than {LEAST} samples cost accuracy"


def set_micro_batches(model: nn.Module, count: int) -> None:
    """Let running averages of batch norm and ranges move as ``count`` micro-batches a step want; in place.

    Norms whose ``momentum`` is None count all alike as before. 1 restores what was.
    """
    if count < 1:
        raise ValueError(f"micro-batches are {count}; allowed: at least 1")
    for module in model.modules():
        if isinstance(module, LayerPrecision):
            module.micro_batches = count
        elif isinstance(module, _NormBase) and module.momentum is not None:
            whole = vars(module).pop("step_momentum", module.momentum)
            module.momentum = whole
            if count > 1:
                module.momentum = share_of_part(1 - whole, count)
                module.step_momentum = whole
