"""The quantisers' arithmetic in torch: functions without gradients, bit-identical to `cpt.model.golden`.

Bit-widths are 0-dimensional integer tensors, so that a compiled model needs no new code when they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cpt.model.golden import SAFE_FLOOR
from cpt.model.golden.fabric.hash import error_key
from cpt.model.native import Kernels, kernels_for
from cpt.model.noise import FRACTION_BITS, GOLDEN, MASK, MULTIPLIERS, SHIFTS, add_uniform
from cpt.model.noise import noise_key as python_noise_key
from cpt.model.noise import uniform as numpy_uniform


class Range(NamedTuple):
    """Smallest and largest value: float32, 0-dimensional or broadcastable against the tensor."""

    lo: Tensor
    hi: Tensor


class Grid(NamedTuple):
    """What codes stand for: ``code*scale + lo``, both operations rounded to float32."""

    scale: Tensor
    lo: Tensor

    def values(self, codes: Tensor) -> Tensor:
        """The real values of ``codes``, given as float32 or as bytes."""
        if codes.dtype is not torch.uint8:
            return codes * self.scale + self.lo
        if native := kernels_for(codes):
            return native.values(codes, self.lo.item(), self.scale.item())
        return codes.to(torch.float32).mul_(self.scale).add_(self.lo)


class Noise(NamedTuple):
    """Noise of one tensor: its key, and how its elements are numbered (see `noise_like`)."""

    key: Tensor | int
    channels_first: bool
    offset: int = 0


def levels(bits: Tensor) -> Tensor:
    """``2**bits - 1`` as float32."""
    return ((1 << bits) - 1).to(torch.float32)


def dense(x: Tensor) -> Tensor:
    """``x`` in memory order where that is channels-last: reductions there are several times faster."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1)
    return x


def tensor_range(x: Tensor) -> Range:
    """Range of the whole tensor, in one pass."""
    return Range(*torch.aminmax(dense(x)))


def slice_range(x: Tensor, keep: Sequence[int]) -> Range:
    """Range of each slice along the axes ``keep``, broadcastable against ``x``."""
    axes = [axis for axis in range(x.dim()) if axis not in keep]
    return Range(x.amin(axes, keepdim=True), x.amax(axes, keepdim=True))


def scale_of(found: Range, bits: Tensor, floor: float = SAFE_FLOOR) -> Tensor:
    """Step between neighbouring codes."""
    return ((found.hi - found.lo) / levels(bits)).clamp_min(floor)


def codes(
    x: Tensor,
    bits: Tensor,
    found: Range,
    noise: Noise | None = None,
    floor: float = SAFE_FLOOR,
    inside: bool = False,
) -> Tensor:
    """Codes 0 .. 2**bits - 1 as float32, shaped and laid out like ``x``.

    ``noise``: for stochastic rounding; else nearest, half to even. ``inside``: the range is that of ``x``
    itself, so that nothing needs cutting off without noise.
    """
    q = x.sub(found.lo).div_(scale_of(found, bits, floor))
    if noise is not None:
        add_noise_(q, noise)
    if noise is not None or not inside:
        q.clamp_min_(0).clamp_max_(levels(bits))
    return q.round_()


def fake_quantise(
    x: Tensor,
    bits: Tensor,
    found: Range,
    noise: Noise | None = None,
    floor: float = SAFE_FLOOR,
    inside: bool = False,
) -> Tensor:
    """The real values of `codes`: a new tensor like ``x``."""
    if native := kernels_for(x):
        done = _in_one_pass(native, x, bits, found, noise, floor)
        if done is not None:
            return done
    return codes(x, bits, found, noise, floor, inside).mul_(scale_of(found, bits, floor)).add_(found.lo)


def coded(
    x: Tensor, bits: Tensor, found: Range, floor: float = SAFE_FLOOR, inside: bool = False
) -> tuple[Tensor, Tensor, Grid]:
    """`fake_quantise` to nearest with one range and at most 8 bits; the codes, uint8; and their grid."""
    scale = scale_of(found, bits, floor)
    if native := kernels_for(x):
        lo, hi, top = found.lo.item(), found.hi.item(), (1 << int(bits)) - 1
        return *native.coded(x, lo, hi, top, floor), Grid(scale, found.lo)
    q = codes(x, bits, found, None, floor, inside)
    kept = q.to(torch.uint8)
    return q.mul_(scale).add_(found.lo), kept, Grid(scale, found.lo)


def _in_one_pass(
    native: Kernels, x: Tensor, bits: Tensor, found: Range, noise: Noise | None, floor: float
) -> Tensor | None:
    """`fake_quantise` by compiled code; None where it is not made for the range or the order of the noise."""
    if found.lo.numel() > 1 or (noise is not None and not _in_order(x, noise).is_contiguous()):
        return None
    lo, hi, top = found.lo.item(), found.hi.item(), (1 << int(bits)) - 1
    return native.fake_quantise(x, lo, hi, top, floor, noise and (int(noise.key), noise.offset))


def uniform(key: Tensor | int, count: int, device: torch.device | str = "cpu", offset: int = 0) -> Tensor:
    """Noise of elements ``offset`` .. ``offset + count - 1``, the numbers of `cpt.model.noise.uniform`."""
    if not torch.compiler.is_compiling() and torch.device(device).type == "cpu":
        return torch.from_numpy(numpy_uniform(int(key) % 2**32, count, offset))
    words = hashes(key, count, torch.device(device), offset)
    return _shift(words, 32 - FRACTION_BITS).to(torch.float32).mul_(2.0**-FRACTION_BITS).sub_(0.5)


def hashes(key: Tensor | int, count: int, device: torch.device, offset: int = 0) -> Tensor:
    """Hashes of elements ``offset`` .. ``offset + count - 1``, words of `_word_type`."""
    index = torch.arange(count, dtype=_word_type(device), device=device)
    return mix(_plus(_plus(_times(index, GOLDEN), key), offset * GOLDEN))


def noise_like(x: Tensor, noise: Noise) -> Tensor:
    """Noise for ``x``, numbered in C order with channels last: images (N, C, H, W) count as (N, H, W, C)."""
    flat = uniform(noise.key, x.numel(), x.device, noise.offset)
    if not _is_image(x, noise):
        return flat.view(x.shape)
    return flat.view(x.movedim(1, -1).shape).movedim(-1, 1)


def add_noise_(x: Tensor, noise: Noise) -> None:
    """Add `noise_like` in place; on the CPU block by block, without a tensor of noise in between."""
    order = _in_order(x, noise)
    if x.device.type == "cpu" and order.is_contiguous() and not torch.compiler.is_compiling():
        add_uniform(order.view(-1).numpy(), int(noise.key) % 2**32, noise.offset)
    else:
        x.add_(noise_like(x, noise))


def _in_order(x: Tensor, noise: Noise) -> Tensor:
    """``x`` with its axes in the order in which elements are numbered."""
    return x.movedim(1, -1) if _is_image(x, noise) else x


def _is_image(x: Tensor, noise: Noise) -> bool:
    """Whether the elements are numbered in another order than that of the axes."""
    return noise.channels_first and x.dim() > 2


def noise_key(seed: int, step: Tensor, layer: int, micro_batch: Tensor | None = None) -> Tensor | int:
    """Key of one tensor: `cpt.model.noise.noise_key` for a counter that lives in a tensor.

    With ``micro_batch``: `cpt.model.golden.fabric.hash.error_key`.
    """
    if not torch.compiler.is_compiling() and step.device.type == "cpu":
        if micro_batch is not None:
            return error_key(seed, int(step), layer, int(micro_batch))
        return python_noise_key(seed, int(step), layer)
    key = torch.zeros((), dtype=_word_type(step.device), device=step.device)
    for part in (seed, step, layer, *(() if micro_batch is None else (micro_batch,))):
        key = mix(_plus(_plus(key, part), GOLDEN))
    return key


def mix(words: Tensor) -> Tensor:
    """`cpt.model.noise.mix` of 32-bit words in a tensor of `_word_type`."""
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        words = _times(words ^ _shift(words, shift), multiplier)
    return words


def _word_type(device: torch.device) -> torch.dtype:
    """What holds 32-bit words: on GPUs int32, whose sums and products wrap there.

    On CPUs int64 with values 0 .. 2**32 - 1: compiled C++ code must not overflow signed numbers.
    """
    return torch.int64 if device.type == "cpu" else torch.int32


def _plus(words: Tensor, other: Tensor | int) -> Tensor:
    """Sum modulo 2**32."""
    total = words + (other.to(words.dtype) if isinstance(other, Tensor) else _signed(other))
    return total & MASK if words.dtype == torch.int64 else total


def _times(words: Tensor, factor: int) -> Tensor:
    """Product modulo 2**32."""
    if words.dtype == torch.int32:
        return words * _signed(factor)
    high = (words * (factor >> 16)) & 0xFFFF
    return (words * (factor & 0xFFFF) + (high << 16)) & MASK


def _shift(words: Tensor, count: int) -> Tensor:
    """Logical shift to the right."""
    moved = words >> count
    return moved if words.dtype == torch.int64 else moved & ((1 << (32 - count)) - 1)


def _signed(word: int) -> int:
    """A 32-bit word as the int32 of the same bits."""
    return (word + 2**31) % 2**32 - 2**31
