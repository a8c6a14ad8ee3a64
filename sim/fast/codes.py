"""Codes of tensors as they lie in memory: `cpt.hw.contract.tiles` in numpy."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract.tiles import CodesLayout, Picture

Bits = NDArray[np.uint8]
"""One bit in each byte."""
Value = TypeVar("Value", bound=np.integer[Any])


def planes_of(codes: NDArray[np.integer], bits: int) -> Bits:
    """Two's complement bit planes ``(bits, ...)`` of integer codes, the lowest first."""
    return np.stack([(codes >> plane & 1).astype(np.uint8) for plane in range(bits)])


def in_tiles(picture: Picture, values: NDArray[Value]) -> NDArray[Value]:
    """``(..., height, width)`` as ``(..., tile, pixel)``; pixels and rows beyond the image are 0."""
    rows, pitch, strips = picture.tile_rows, picture.pitch, picture.strips
    below = picture.tiles // strips * rows - picture.height
    beside = strips * pitch - picture.width
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(0, below), (0, beside)])
    lead = padded.shape[:-2]
    split = padded.reshape(*lead, -1, rows, strips, pitch)
    return np.moveaxis(split, -2, -3).reshape(*lead, picture.tiles, rows * pitch)


def from_tiles(picture: Picture, tiles: NDArray[Value]) -> NDArray[Value]:
    """The inverse of `in_tiles`."""
    rows, pitch, strips = picture.tile_rows, picture.pitch, picture.strips
    lead = tiles.shape[:-2]
    split = np.moveaxis(tiles.reshape(*lead, -1, strips, rows, pitch), -3, -2)
    return split.reshape(*lead, -1, strips * pitch)[..., : picture.height, : picture.width]


def pack_codes(layout: CodesLayout, codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Memory of codes ``(images, channels, height, width)`` at ``bits`` planes; planes above are 0."""
    group = layout.picture.config.group_channels
    images = codes.shape[0]
    channels = np.pad(codes, [(0, 0), (0, layout.groups * group - codes.shape[1]), (0, 0), (0, 0)])
    planes = planes_of(in_tiles(layout.picture, channels), bits)
    # (plane, image, group, channel, tile, pixel) to (image, tile, group, plane, pixel, channel)
    split = planes.reshape(bits, images, layout.groups, group, layout.picture.tiles, -1)
    packed = np.packbits(split.transpose(1, 4, 2, 0, 5, 3).reshape(-1, 8), bitorder="little")
    memory = np.zeros((images, layout.picture.tiles, layout.groups, layout.group_stride), np.uint8)
    memory[..., : bits * layout.plane_bytes] = packed.reshape(*memory.shape[:3], -1)
    return memory.reshape(-1)


def unpack_codes(
    layout: CodesLayout, memory: NDArray[np.uint8], images: int, bits: int, signed: bool
) -> NDArray[np.int64]:
    """Codes ``(images, channels, height, width)`` of memory that `pack_codes` made."""
    group, tiles = layout.picture.config.group_channels, layout.picture.tiles
    places = memory.reshape(images, tiles, layout.groups, layout.group_stride)
    flat = np.unpackbits(places[..., : bits * layout.plane_bytes].copy(), axis=-1, bitorder="little")
    split = flat.reshape(images, tiles, layout.groups, bits, -1, group).transpose(3, 0, 2, 5, 1, 4)
    weights = np.left_shift(1, np.arange(bits, dtype=np.int64))
    if signed:
        weights[-1] *= -1
    codes: NDArray[np.int64] = np.tensordot(weights, split.astype(np.int64), 1).reshape(
        images, -1, tiles, split.shape[-1]
    )
    return from_tiles(layout.picture, codes)[:, : layout.channels]
