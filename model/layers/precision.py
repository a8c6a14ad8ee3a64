"""Precision of one layer: its bit-widths, running range and noise counter, all in buffers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.functional import Range, noise_key
from cpt.model.quantisers import make_quantiser
from cpt.model.ranges import MOMENTUM
from cpt.model.schedule import FULL_PRECISION, check_bits

_HALF = (torch.float16, torch.bfloat16)
"""Types too coarse to compute codes in."""


class LayerPrecision(nn.Module):
    """Quantises the tensors of one layer.

    Buffers: ``fw_bits``, ``bw_bits`` (int32, 0 is full precision), ``range`` (lo, hi and weight of
    `cpt.model.ranges.RunningRange`), ``noise_step`` (int64, training forwards so far). All are in the state
    dict, so a checkpoint replays. ``layer``: number of the layer in its model, which keys its noise.
    """

    fw_bits: Tensor
    bw_bits: Tensor
    range: Tensor
    noise_step: Tensor

    def __init__(self, config: QuantConfig, layer: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.quantiser = make_quantiser(config)
        self.register_buffer("fw_bits", torch.zeros((), dtype=torch.int32, device=device))
        self.register_buffer("bw_bits", torch.zeros((), dtype=torch.int32, device=device))
        self.register_buffer("range", torch.zeros(3, device=device))
        self.register_buffer("noise_step", torch.zeros((), dtype=torch.int64, device=device))
        self.soft_bits: LearnedBits | None = None
        # Full precision is a branch in Python: quantised layers never wait for the value of their bits.
        self._full_fw = self._full_bw = True
        self.set_bits(config.fw, config.bw)

    def set_bits(self, fw: int | None = None, bw: int | None = None) -> None:
        """Change the bit-widths given; ``fw`` takes the place of learned bits.

        Raises `ValueError` where the quantiser has no such width.
        """
        for name, bits in (("fw", fw), ("bw", bw)):
            if bits is not None:
                check_bits(name, bits, full_precision=True, least=self.quantiser.least_bits)
        if fw is not None:
            self.fw_bits.fill_(fw)
            self._full_fw, self.soft_bits = fw == FULL_PRECISION, None
        if bw is not None:
            self.bw_bits.fill_(bw)
            self._full_bw = bw == FULL_PRECISION

    def get_bits(self) -> tuple[int, int]:
        """(fw, bw) in force; learned bits included."""
        fw = self.soft_bits.hard() if self.soft_bits is not None else self.fw_bits
        return int(fw), int(self.bw_bits)

    @property
    def in_full_precision(self) -> bool:
        """Whether nothing is quantised."""
        return self._full_fw and self._full_bw

    def activation(self, x: Tensor) -> Tensor:
        """The layer's input, quantised; in training its range moves the running average."""
        if self._full_fw:
            return x
        if x.dtype in _HALF:
            raise ValueError(
                f"input is {x.dtype}; allowed: torch.float32 (mixed precision by torch.autocast)"
            )
        bits, soft = self._forward_bits()
        found = self._range_of(x) if self.quantiser.has_range else None
        return self.quantiser.activation(x, bits, found, self.training, soft)

    def weights(self, w: Tensor, groups: int = 1) -> tuple[Tensor, Tensor | None]:
        """(weights of forward and dW, those of dX or None if they are the same)."""
        if self._full_fw:
            return w, None
        bits, soft = self._forward_bits()
        return self.quantiser.weight(w, bits, soft), self.quantiser.weight_dx(w, bits, groups)

    def bias(self, b: Tensor | None) -> Tensor | None:
        """The bias: quantised with one range if the configuration says so."""
        if b is None or self._full_fw or not self.config.quantise_bias:
            return b
        bits, soft = self._forward_bits()
        return self.quantiser.weight(b, bits, soft)

    def gradient(self, y: Tensor, channels_first: bool = False) -> Tensor:
        """The layer's output; its gradient will be quantised. Counts a training step."""
        if self._full_bw:
            return y
        key = noise_key(self.config.seed, self.noise_step, self.layer)
        if self.training:
            # Not in place: compiled code may read the old value again in backward.
            self.noise_step = self.noise_step + 1
        return self.quantiser.gradient(y, self.bw_bits, key, channels_first)

    def _forward_bits(self) -> tuple[Tensor, Tensor | None]:
        if self.soft_bits is None:
            return self.fw_bits, None
        return self.soft_bits.hard(), self.soft_bits()

    @torch.no_grad()
    def _range_of(self, x: Tensor) -> Range:
        if self.training:
            found = self.quantiser.tensor_range(x.detach())
            new = torch.stack((found.lo, found.hi, torch.ones_like(found.lo)))
            self.range.mul_(MOMENTUM).add_(new * (1 - MOMENTUM))
            return found
        if not torch.compiler.is_compiling() and not self.range[2]:
            raise ValueError(
                "running range has 0 updates; allowed: at least 1 training step before evaluation"
            )
        return Range(self.range[0] / self.range[2], self.range[1] / self.range[2])

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._full_fw, self._full_bw = not int(self.fw_bits), not int(self.bw_bits)

    def extra_repr(self) -> str:
        fw, bw = self.get_bits()
        return f"{self.config.quantiser}, layer={self.layer}, fw={fw}, bw={bw}"


def part_precision(module: nn.Module, part: str) -> LayerPrecision:
    """The precision of one product of a layer that has several."""
    item = module.get_submodule(f"precision_{part}")
    assert isinstance(item, LayerPrecision)
    return item


class LearnedBits(nn.Module):
    """Bits of one layer from a learnable ``beta`` in 0..1: ``beta*(hi - lo) + lo`` (LDP)."""

    def __init__(self, lo: int, hi: int, beta: float = 1.0, device: torch.device | None = None) -> None:
        super().__init__()
        self.lo, self.hi = lo, hi
        self.beta = nn.Parameter(torch.tensor(beta, device=device))

    def forward(self) -> Tensor:
        """Real-valued bits, with a gradient."""
        return self.beta * (self.hi - self.lo) + self.lo

    def hard(self) -> Tensor:
        """Bits in force: rounded to nearest and kept within the bounds; int32."""
        return self.forward().detach().round().clamp(self.lo, self.hi).to(torch.int32)
