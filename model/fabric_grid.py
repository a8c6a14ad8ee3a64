"""The fabric's codes in torch: functions without gradients, bit-identical to `cpt.model.golden.fabric`.

Activations and errors have zero 0, weights a real zero of 18 bits; noise is a byte of a hash shared by four
(docs/numerics.md, "The step on the fabric"). Bit-widths are 0-dimensional integer tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cpt.model.functional import Noise, Range, hashes, levels, slice_range
from cpt.model.golden.fabric.channel import ACTIVATION_FLOOR, ERROR_FLOOR
from cpt.model.golden.fabric.codes import FRACTION_BITS, WEIGHT_FLOOR
from cpt.model.golden.fabric.hash import PIXELS, noise_bytes
from cpt.model.noise import GOLDEN, MASK

_ACTIVATION_FLOOR, _ERROR_FLOOR, _WEIGHT_FLOOR = map(float, (ACTIVATION_FLOOR, ERROR_FLOOR, WEIGHT_FLOOR))
"""Plain numbers: a compiled model would take numpy's for tensors."""


def signed_levels(bits: Tensor) -> Tensor:
    """Highest magnitude of a signed code, ``2**(bits - 1) - 1``, as float32."""
    return ((1 << (bits - 1)) - 1).to(torch.float32)


def symmetric(found: Range) -> Range:
    """(-m, m) for the range of a tensor with values below 0, else (0, m); m is the largest magnitude.

    What lies behind a ReLU has none.
    """
    lo, hi = found
    largest = torch.maximum(-lo, hi)
    return Range(torch.where(lo < 0, -largest, torch.zeros_like(largest)), largest)


def input_codes(x: Tensor, bits: Tensor, found: Range, inside: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of activations as float32, their unit, and the highest code, B (E where ``found.lo`` is below 0).

    ``q = clip(floor(x*(1/s) + 1/2), 0 or -E, top)``, ``s = max(hi*fl(1/top), 2^-30)``. ``inside``: the range
    is that of ``x`` itself, so that nothing needs cutting off.
    """
    signed = found.lo < 0
    top = torch.where(signed, signed_levels(bits), levels(bits))
    unit = (found.hi * (1 / top)).clamp_min(_ACTIVATION_FLOOR)
    q = x.mul(1 / unit).add_(0.5).floor_()
    if not inside:
        q.clamp_(torch.where(signed, -top, torch.zeros_like(top)), top)
    return q, unit, top


def weight_codes(
    w: Tensor, bits: Tensor, keep: Sequence[int], whole: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, zeros and steps of weights as float32: `golden.fabric.codes.weight_codes` of every slice.

    ``keep``: axes that number the rows of the product's A operand; zeros and steps broadcast against ``w``.
    ``whole``: the zero is a code, as depth-wise layers have it.
    """
    found, top = slice_range(w, keep), levels(bits)
    lo, hi = found.lo.clamp_max(0), found.hi.clamp_min(0)
    step = ((hi - lo) * (1 / top)).clamp_min(_WEIGHT_FLOOR)
    inverse = 1 / step
    if whole:
        lo = (lo * inverse).round_() * step
    q = w.sub(lo).mul_(inverse).clamp_(torch.zeros_like(top), top).round_()
    return q, (lo * inverse * _fractions(bits)).round_(), step


def error_codes(grad: Tensor, bits: Tensor, largest: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Codes -E .. E of errors as float32, and their unit: ``e = clip(floor(g*(1/s) + (2u + 1)/512), -E, E)``.

    ``s = max(largest*fl(1/E), 2^-60)``; u is `noise_like`.
    """
    top = signed_levels(bits)
    unit = (largest * (1 / top)).clamp_min(_ERROR_FLOOR)
    q = grad.mul(1 / unit).add_(noise_like(grad, noise))
    return q.floor_().clamp_(-top, top), unit


def fake_inputs(x: Tensor, bits: Tensor, found: Range, inside: bool = False) -> tuple[Tensor, Tensor]:
    """The real values of `input_codes`, and the highest code."""
    q, unit, top = input_codes(x, bits, found, inside)
    return q.mul_(unit), top


def fake_weights(w: Tensor, bits: Tensor, keep: Sequence[int], whole: bool = False) -> Tensor:
    """The real values of `weight_codes`: ``s*(q + zero/2^(17-b))``, rounded once."""
    q, zero, step = weight_codes(w, bits, keep, whole)
    return q.add_(zero / _fractions(bits)).mul_(step)


def fake_errors(grad: Tensor, bits: Tensor, largest: Tensor, noise: Noise) -> Tensor:
    """The real values of `error_codes`."""
    q, unit = error_codes(grad, bits, largest, noise)
    return q.mul_(unit)


def noise_like(x: Tensor, noise: Noise) -> Tensor:
    """Noise ``(2u + 1)/512`` for ``x``, u the bytes of `golden.fabric.hash.noise_bytes`.

    Images (N, C, ..., W) are numbered row by row of a channel; anything else counts as one row in C order.
    ``noise.offset`` counts elements, of images whole ones.
    """
    if noise.channels_first and x.dim() > 2:
        images, channels, width = x.shape[0], x.shape[1], x.shape[-1]
        rows = x.numel() // (images * channels * width)
        before = noise.offset // (channels * rows * width) * channels * rows
        first, skipped = before * -(-width // PIXELS), 0
    else:
        images = channels = rows = 1
        first, skipped = divmod(noise.offset, PIXELS)
        width = skipped + x.numel()
    if not torch.compiler.is_compiling() and x.device.type == "cpu":
        key = (int(noise.key) + first * GOLDEN) & MASK
        found = torch.from_numpy(noise_bytes(key, (images, rows, width, channels))).movedim(3, 1)
    else:
        found = _bytes(noise.key, images * channels * rows, width, first, x.device)
        found = found.view(images, channels, rows, width)
    return found[..., skipped:].reshape(x.shape).to(torch.float32).mul_(2 / 512).add_(1 / 512)


def _bytes(key: Tensor | int, rows: int, width: int, first: int, device: torch.device) -> Tensor:
    """Bytes (rows, width) of the hashes from number ``first`` on; a row begins with a hash of its own."""
    words = hashes(key, rows * -(-width // PIXELS), device, first)
    shifts = torch.arange(0, 8 * PIXELS, 8, dtype=words.dtype, device=device)
    return ((words[:, None] >> shifts) & 0xFF).view(rows, -1)[:, :width]


def _fractions(bits: Tensor) -> Tensor:
    """``2**(17 - bits)`` as float32: fractions of a step in which a weight's zero counts."""
    return (1 << (FRACTION_BITS - bits)).to(torch.float32)
