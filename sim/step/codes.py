"""Tensors as the machine holds them: codes in memory, channels of tiles in scratch, weights as operand A.

In numpy a tensor is (images, height, width, channels). `Picture` says how its pixels lie in tiles.
"""

from __future__ import annotations

import numpy as np

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.sim.fast.codes import from_tiles, in_tiles, pack_codes, unpack_codes


def codes_bytes(layout: CodesLayout, images: int, groups: int = 0) -> int:
    """Bytes from the first to the last of a tensor's groups.

    ``groups``: that memory holds of a tile, of which those of ``layout`` are some; 0: these alone.
    """
    between = (groups or layout.groups) * layout.group_stride
    return between * (images * layout.picture.tiles - 1) + layout.tile_stride


def _groups(memory: np.ndarray, address: int, layout: CodesLayout, images: int, groups: int) -> np.ndarray:
    """Bytes of groups from ``address`` on, a view (tiles of all images, groups, bytes of a group)."""
    shape = (images * layout.picture.tiles, layout.groups, layout.group_stride)
    strides = ((groups or layout.groups) * layout.group_stride, layout.group_stride, 1)
    length = codes_bytes(layout, images, groups)
    return np.lib.stride_tricks.as_strided(memory[address : address + length], shape, strides)


def read_codes(
    memory: np.ndarray,
    address: int,
    layout: CodesLayout,
    images: int,
    bits: int,
    signed: bool,
    groups: int = 0,
) -> np.ndarray:
    """Codes of ``images`` images: int64 (images, H, W, channels). ``groups``: of a tile in memory; 0: all."""
    piece = _groups(memory, address, layout, images, groups).reshape(-1)
    return unpack_codes(layout, piece, images, bits, signed).transpose(0, 2, 3, 1)


def write_codes(
    memory: np.ndarray, address: int, layout: CodesLayout, values: np.ndarray, bits: int, groups: int = 0
) -> None:
    """Write integer codes (N, H, W, channels) as ``bits`` planes, and 0 to the end of their last bus beat.

    Other planes stay as they are. ``groups``: of a tile in memory; 0: all.
    """
    place = _groups(memory, address, layout, len(values), groups)
    packed = pack_codes(layout, values.transpose(0, 3, 1, 2), bits).reshape(place.shape)
    written = -(-bits * layout.plane_bytes // BEAT_BYTES) * BEAT_BYTES
    place[..., :written] = packed[..., :written]


def read_words(scratch: np.ndarray, word: int, picture: Picture, images: int, channels: int) -> np.ndarray:
    """A tensor of scratch (words, lanes) from ``word`` on: (images, H, W, channels)."""
    words = scratch[word : word + images * picture.tiles * channels]
    tiles = words.reshape(images, picture.tiles, channels, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(from_tiles(picture, tiles).transpose(0, 2, 3, 1))


def write_words(scratch: np.ndarray, word: int, picture: Picture, values: np.ndarray) -> None:
    """Write (N, H, W, C) to scratch (words, lanes) from ``word`` on; lanes without a pixel get 0."""
    tiles = in_tiles(picture, values.transpose(0, 3, 1, 2)).transpose(0, 2, 1, 3)
    count = tiles.size // scratch.shape[1]
    scratch[word : word + count] = tiles.reshape(count, -1)


def weight_planes(
    codes: np.ndarray, bits: int, rows_per_tile: int, word_bits: int, ksteps: int
) -> np.ndarray:
    """Rows of codes (rows, ksteps, word_bits) as operand A: uint8 [tile][plane][K step][bytes of a step]."""
    tiles = len(codes) // rows_per_tile
    lanes = codes.reshape(tiles, 1, rows_per_tile, ksteps, word_bits)
    planes = (lanes >> np.arange(bits).reshape(1, bits, 1, 1, 1) & 1).astype(np.uint8)
    steps = planes.transpose(0, 1, 3, 2, 4).reshape(tiles, bits, ksteps, rows_per_tile * word_bits)
    packed = np.packbits(steps, axis=-1, bitorder="little")
    missing = -packed.shape[-1] % 8
    return np.pad(packed, ((0, 0), (0, 0), (0, 0), (0, missing)))


def planes_weight(planes: np.ndarray, rows_per_tile: int, word_bits: int) -> np.ndarray:
    """What `weight_planes` made, back: int64 (tiles*rows, ksteps, word_bits)."""
    tiles, bits, ksteps, _ = planes.shape
    steps = np.unpackbits(planes, axis=-1, count=rows_per_tile * word_bits, bitorder="little")
    lanes = steps.reshape(tiles, bits, ksteps, rows_per_tile, word_bits).transpose(0, 3, 2, 4, 1)
    weights = 1 << np.arange(bits, dtype=np.int64)
    return (lanes @ weights).reshape(tiles * rows_per_tile, ksteps, word_bits)
