"""Where training went wrong: the first layer whose values stopped being finite, and its precision."""

from __future__ import annotations

import torch
from torch import nn

from model.quantize import precisions


class NotFiniteError(ArithmeticError):
    """NaN or infinity in training; the message is one line naming layer and precision."""


def check_finite(model: nn.Module, loss: torch.Tensor | None = None) -> None:
    """Raise `NotFiniteError` if the loss, a layer's input or a weight is NaN or infinite.

    Costs nothing per element of the activations: a layer's running input range remembers what it saw. The
    layer named is the first in order whose input was not finite, else the first with such a weight.
    """
    items = precisions(model)
    for name, item in items.items():
        if not torch.isfinite(item.range).all():
            fw, bw = item.get_bits()
            lo, hi = (value / item.range[2] for value in item.range[:2])
            raise NotFiniteError(
                f"layer {name} at FW{fw}/BW{bw}: input range is {lo:g}..{hi:g}; allowed: finite"
            )
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            found = next((item for layer, item in items.items() if name.startswith(f"{layer}.")), None)
            where = "" if found is None else " at FW{}/BW{}".format(*found.get_bits())
            raise NotFiniteError(f"parameter {name}{where}: holds NaN or infinity; allowed: finite values")
    if loss is not None and not torch.isfinite(loss).all():
        raise NotFiniteError(f"loss is {loss.item():g}; allowed: a finite value")
