"""What the window fetch leaves in its memories, word by word: `WindowLayout` and `PixelLayout` in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract.config import TAPS
from cpt.hw.contract.tiles import COPIES, PIECES, Picture, PixelLayout, WindowLayout
from cpt.sim.fast.codes import Bits, in_tiles, planes_of


def _groups(codes: NDArray[np.integer], group: int, count: int) -> NDArray[np.integer]:
    """``(images, channels, height, width)`` as ``(images, count, group, height, width)``, zeros behind."""
    images, channels, height, width = codes.shape
    padded = np.pad(codes, [(0, 0), (0, count * group - channels), (0, 0), (0, 0)])
    return padded.reshape(images, count, group, height, width)


def _shifted(planes: Bits, picture: Picture, stride: int, dy: int, dx: int) -> Bits:
    """Bits ``(..., y, x)`` of the pixels ``(stride*y + dy, stride*x + dx)``, zero outside."""
    padded = np.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(1, 2), (1, 2)])
    rows = slice(1 + dy, 1 + dy + stride * picture.height, stride)
    return padded[..., rows, 1 + dx : 1 + dx + stride * picture.width : stride]


def window_words(layout: WindowLayout, codes: NDArray[np.integer], bits: int) -> Bits:
    """Words ``(images, tiles, slot words, columns, word bits)`` of codes ``(N, channels, height, width)``.

    Columns outside of the output picture are 0 here; what the memories hold there is not said.
    """
    group, output = layout.source.config.group_channels, layout.output
    images, ksteps = len(codes), layout.ksteps
    count = layout.groups if layout.kernel == 3 else ksteps * TAPS
    planes = planes_of(_groups(codes, group, count), bits)  # (plane, image, group, channel, y, x)
    if layout.spread:
        apart = np.zeros((*planes.shape[:-2], *layout.spread), planes.dtype)
        apart[..., ::2, ::2] = planes
        planes = apart
    if layout.kernel == 3:
        taps = [
            _shifted(planes, output, layout.stride, dy, dx)[:, :, :, None]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        parts = np.concatenate(taps, axis=3)
    else:
        centre = _shifted(planes, output, layout.stride, 0, 0)
        parts = centre.reshape(bits, images, ksteps, TAPS, group, output.height, output.width)
    tiles = in_tiles(output, parts)  # (plane, image, k, tap, channel, tile, column)
    words = tiles.transpose(1, 5, 0, 2, 6, 3, 4)
    return words.reshape(images, output.tiles, bits * ksteps, -1, TAPS * group)


def columns_inside(picture: Picture) -> NDArray[np.bool_]:
    """Whether a column of a tile is a pixel of the image: ``(tiles, columns)``."""
    return in_tiles(picture, np.ones((picture.height, picture.width), np.uint8)).astype(bool)


def pixel_words(layout: PixelLayout, codes: NDArray[np.integer], bits: int) -> Bits:
    """Words ``(sets, chunks, slot words, channels, word bits)`` of a group's codes ``(N, g, height, width)``.

    Images that the last set lacks are 0.
    """
    group, output = layout.source.config.group_channels, layout.output
    sets = -(-len(codes) // layout.images)
    padded = np.pad(codes, [(0, sets * layout.images - len(codes)), (0, 0), (0, 0), (0, 0)])
    first = layout.stride * layout.rows * np.arange(layout.chunks)
    wanted = (first[:, None] + np.arange(layout.slot_rows)).reshape(-1)  # behind one row of zeros
    below = int(wanted[-1]) - layout.source.height
    wide = np.pad(planes_of(padded, bits), [(0, 0)] * 3 + [(1, max(0, below)), (1, 2)])[:, :, :, wanted]
    copies = np.stack(
        [wide[..., 1 + dx : 1 + dx + layout.stride * output.width : layout.stride] for dx in (-1, 0, 1)]
    )
    copies = np.pad(copies, [(0, 0)] * 5 + [(0, output.span - output.width)])
    # (copy, plane, image, channel, row, pixel) to (set, chunk, row, plane, copy, channel, image, pixel)
    split = copies.reshape(
        COPIES, bits, sets, layout.images, group, layout.chunks, layout.slot_rows, output.span
    )
    words = split.transpose(2, 5, 6, 1, 0, 4, 3, 7)
    words = words.reshape(sets, layout.chunks, layout.slot_words(bits), group, PIECES * group)
    return np.pad(words, [(0, 0)] * 4 + [(0, (TAPS - PIECES) * group)])


def row_words(picture: Picture, rows: int, codes: NDArray[np.integer], bits: int) -> Bits:
    """Operand A of dW: ``(sets, chunks, bits * rows, g, word bits)``.

    Word ``plane * rows + row`` of a chunk is one row of a set of images.
    """
    layout = PixelLayout(picture, 1, picture.height)
    words = pixel_words(layout, codes, bits)
    sets, _, _, group, size = words.shape
    rest = words.reshape(sets, layout.slot_rows, bits, COPIES, group, size)[:, 1:-1, :, 1]
    split = rest.swapaxes(1, 2)
    split = np.pad(split, [(0, 0), (0, 0), (0, -picture.height % rows), (0, 0), (0, 0)])
    chunks = split.reshape(sets, bits, -1, rows, group, size).swapaxes(1, 2)
    return chunks.reshape(sets, -1, bits * rows, group, size)
