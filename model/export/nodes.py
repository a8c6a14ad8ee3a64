"""Parts of a network that write their own nodes when it is exported: codes, and what they stand for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import ops

from cpt.model.functional import Grid, levels

OPSET = 21
"""First version whose QuantizeLinear and DequantizeLinear take codes of 16 bits."""


class GridConstants(nn.Module):
    """A grid as constants of a graph: scales, zero code 0, and the value of code 0 unless that is 0."""

    scale: Tensor
    zero: Tensor
    lo: Tensor | None

    def __init__(self, grid: Grid, bits: int) -> None:
        super().__init__()
        scale = grid.scale.detach().clone()
        # one scale for all, or one for each slice along the first axis
        self.register_buffer("scale", scale.flatten() if scale.numel() > 1 else scale.reshape(()))
        self.register_buffer("zero", torch.zeros(self.scale.shape, dtype=code_type(bits)))
        self.register_buffer("lo", grid.lo.detach().clone() if grid.lo.any() else None)

    def dequantised(self, codes: Tensor) -> Tensor:
        """``codes*scale + lo``: DequantizeLinear, Add."""
        attrs = {"axis": 0} if self.scale.dim() else None
        values = _node("DequantizeLinear", (codes, self.scale, self.zero), codes, attrs=attrs)
        return values if self.lo is None else _node("Add", (values, self.lo), values)


class QuantisedInput(GridConstants):
    """Activations at their codes' values: Sub, Clip, QuantizeLinear, DequantizeLinear, Add."""

    lowest: Tensor
    highest: Tensor

    def __init__(self, grid: Grid, bits: int) -> None:
        super().__init__(grid, bits)
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", levels(torch.tensor(bits)) * grid.scale)

    def forward(self, x: Tensor) -> Tensor:
        """The values of `cpt.model.functional.fake_quantise`, which cuts behind the division, to the bit."""
        if self.lo is not None:
            x = _node("Sub", (x, self.lo), x)
        x = _node("Clip", (x, self.lowest, self.highest), x)
        codes = _node("QuantizeLinear", (x, self.scale, self.zero), x, dtype=self.zero.dtype)
        return self.dequantised(codes)


class StoredTensor(GridConstants):
    """Weights or a bias as integer codes."""

    codes: Tensor

    def __init__(self, codes: Tensor, grid: Grid, bits: int) -> None:
        super().__init__(grid, bits)
        # torch converts from float32 to few integer types
        self.register_buffer("codes", codes.to(torch.int32).to(code_type(bits)).contiguous())

    def forward(self) -> Tensor:
        """The real values."""
        return self.dequantised(self.codes)


def code_type(bits: int) -> torch.dtype:
    """The type that codes of ``bits`` are stored in."""
    return torch.uint8 if bits <= 8 else torch.uint16


def _node(
    kind: str,
    inputs: tuple[Tensor, ...],
    like: Tensor,
    dtype: torch.dtype = torch.float32,
    attrs: dict[str, Any] | None = None,
) -> Tensor:
    """One node of ONNX, whose output is shaped as ``like``."""
    return ops.symbolic(kind, inputs, attrs, dtype=dtype, shape=like.shape, version=OPSET)
