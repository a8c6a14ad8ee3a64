"""WAGEUBN's batch norm: every operand in fixed point (docs/numerics.md)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers import Quantised, adopt, without_autocast
from cpt.model.quantisers.wageubn.arithmetic import RoundThrough

VALUE_BITS = 8
"""Of scale, shift and normalised values."""
MOMENT_BITS = 16
"""Of mean and standard deviation."""


class FixedPointBatchNorm2d(Quantised, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with mean and deviation at 16 bits, scale, shift and normalised values at 8."""

    @classmethod
    def from_float(cls, norm: nn.BatchNorm2d, config: QuantConfig) -> FixedPointBatchNorm2d:
        """A layer with all that ``norm`` holds."""
        if norm.momentum is None or not norm.affine or not norm.track_running_stats:
            raise ValueError("batch norm has no momentum, affine or running statistics; allowed: all of them")
        new = adopt(cls, norm)
        new.config = config
        return new

    def to_float(self) -> nn.BatchNorm2d:
        """The layer that this one was made from, with the weights and statistics of now."""
        return self.unplugged(nn.BatchNorm2d)

    @without_autocast
    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if self.training:
            mean, var, count = self.batch.moments(input)
            with torch.no_grad():
                share = self.momentum or 0.0
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(var * count / max(1, count - 1), share)
        else:
            mean, var = self.running_mean, self.running_var
        mean, deviation = _fixed(mean, MOMENT_BITS), _fixed((var + self.eps).sqrt(), MOMENT_BITS)
        column = (-1, 1, 1)
        normal = _fixed((input - mean.view(column)) / deviation.view(column), VALUE_BITS)
        scale, offset = _fixed(self.weight, VALUE_BITS), _fixed(self.bias, VALUE_BITS)
        return normal * scale.view(column) + offset.view(column)


def _fixed(x: Tensor, bits: int) -> Tensor:
    """The nearest multiple of 2**(1 - bits), with an identity gradient."""
    return RoundThrough.apply(x, x.new_tensor(2.0 ** (bits - 1)))
