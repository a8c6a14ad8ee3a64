"""Tensors as they lie in memory and scratch: codes in planes of tiles, channels of tiles in words.

In numpy a tensor is (images, height, width, channels). `Shape` says how its pixels lie in tiles.
"""

from __future__ import annotations

import numpy as np

from cpt.hw.contract.step import Shape, plane_bytes


def tiled(values: np.ndarray, shape: Shape) -> np.ndarray:
    """(N, H, W, C) as (N, tiles, lanes, C), 0 where a lane holds no pixel."""
    images, height, width, channels = values.shape
    rows, across = shape.tile_rows, shape.strips * shape.pitch
    down = shape.tiles // shape.strips
    whole = np.zeros((images, down * rows, across, channels), values.dtype)
    whole[:, :height, :width] = values
    parts = whole.reshape(images, down, rows, shape.strips, shape.pitch, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(images, shape.tiles, shape.columns, channels)


def untiled(parts: np.ndarray, shape: Shape) -> np.ndarray:
    """(N, tiles, lanes, C) as (N, H, W, C)."""
    images, channels = parts.shape[0], parts.shape[-1]
    down = shape.tiles // shape.strips
    split = parts.reshape(images, down, shape.strips, shape.tile_rows, shape.pitch, channels)
    whole = split.transpose(0, 1, 3, 2, 4, 5)
    whole = whole.reshape(images, down * shape.tile_rows, shape.strips * shape.pitch, channels)
    return np.ascontiguousarray(whole[:, : shape.height, : shape.width])


def code_bytes(shape: Shape, group: int, channels: int, planes: int) -> int:
    """Bytes that an image's codes take where memory keeps ``planes`` for every group."""
    return shape.tiles * -(-channels // group) * planes * plane_bytes(shape.columns, group)


def _runs(
    memory: np.ndarray, address: int, shape: Shape, group: int, images: int, groups: int, planes: int
) -> np.ndarray:
    """Planes as a view of ``memory``: (images*tiles, groups, planes, bytes of a plane)."""
    size = plane_bytes(shape.columns, group)
    count = images * shape.tiles
    piece = memory[address : address + count * groups * planes * size]
    return piece.reshape(count, groups, planes, size)


def read_codes(
    memory: np.ndarray,
    address: int,
    shape: Shape,
    group: int,
    *,
    images: int,
    groups: int,
    planes: int,
    bits: int,
    signed: bool,
) -> np.ndarray:
    """Codes of ``images`` images: int64 (images, H, W, groups*group), from ``bits`` of ``planes`` planes."""
    runs = _runs(memory, address, shape, group, images, groups, planes)[:, :, :bits]
    lanes = np.unpackbits(runs, axis=-1, count=shape.columns * group, bitorder="little")
    weights = 1 << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    values = np.einsum("tgbl,b->tgl", lanes, weights, dtype=np.int64)
    split = values.reshape(images, shape.tiles, groups, shape.columns, group).transpose(0, 1, 3, 2, 4)
    return untiled(split.reshape(images, shape.tiles, shape.columns, groups * group), shape)


def write_codes(
    memory: np.ndarray,
    address: int,
    shape: Shape,
    group: int,
    values: np.ndarray,
    *,
    planes: int,
    bits: int,
) -> None:
    """Write integer codes (N, H, W, groups*group) as ``bits`` planes; other planes stay as they are."""
    images, groups = len(values), values.shape[-1] // group
    parts = tiled(values.astype(np.int64), shape).reshape(images * shape.tiles, shape.columns, groups, group)
    lanes = parts.transpose(0, 2, 1, 3).reshape(images * shape.tiles, groups, 1, shape.columns * group)
    planes_of = (lanes >> np.arange(bits).reshape(1, 1, bits, 1) & 1).astype(np.uint8)
    packed = np.packbits(planes_of, axis=-1, bitorder="little")
    _runs(memory, address, shape, group, images, groups, planes)[:, :, :bits, : packed.shape[-1]] = packed


def read_words(scratch: np.ndarray, word: int, shape: Shape, images: int, channels: int) -> np.ndarray:
    """A tensor of scratch (words, lanes) from ``word`` on: (images, H, W, channels)."""
    words = scratch[word : word + images * shape.tiles * channels]
    parts = words.reshape(images, shape.tiles, channels, shape.columns).transpose(0, 1, 3, 2)
    return untiled(parts, shape)


def write_words(scratch: np.ndarray, word: int, shape: Shape, values: np.ndarray) -> None:
    """Write (N, H, W, C) to scratch (words, lanes) from ``word`` on; lanes without a pixel get 0."""
    images, channels = len(values), values.shape[-1]
    parts = tiled(values, shape).transpose(0, 1, 3, 2)
    scratch[word : word + images * shape.tiles * channels] = parts.reshape(-1, shape.columns)


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
