"""Images moved by whole pixels, for augmentation."""

from __future__ import annotations

import itertools

import numpy as np


def shifted(pixels: np.ndarray, index: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Images ``index`` (N,) of ``pixels`` (all, H, W, C), with what is ``by`` (N, 2) down and right of them.

    Where nothing is, there is the nearest border pixel. Whole rows are taken, and images that move alike to
    the side are moved at once: a board's processor would take longer for indices of all pixels, or for each
    image, than for the rest of its step.
    """
    _, height, width, channels = pixels.shape
    down, right = by.astype(np.intp).T
    right = np.clip(right, 1 - width, width - 1)  # all of an image that moves farther is its border too
    order = np.argsort(right, kind="stable")
    rows = index[:, None] * height + np.clip(np.arange(height) + down[:, None], 0, height - 1)
    taken = pixels.reshape(-1, width * channels).take(rows[order].reshape(-1), axis=0)
    taken = taken.reshape(len(index), height, width, channels)
    aside = np.empty_like(taken)
    shifts, starts = np.unique(right[order], return_index=True)
    for shift, (start, end) in zip(
        shifts.tolist(), itertools.pairwise([*starts.tolist(), len(index)]), strict=True
    ):
        _columns(taken[start:end], shift, aside[start:end])
    result = np.empty_like(aside)
    result[order] = aside
    return result


def _columns(images: np.ndarray, by: int, result: np.ndarray) -> None:
    """Write contiguous ``images`` (N, H, W, C) with what is ``by`` right of it to contiguous ``result``.

    All pixels move as one line first, which brings those of neighbouring rows to the border; column by column
    and channel by channel, the border is written over them.
    """
    width, channels = images.shape[2:]
    pixels, line = images.reshape(-1), result.reshape(-1)
    offset = by * channels
    line[max(0, -offset) : len(line) - max(0, offset)] = pixels[max(0, offset) : len(line) - max(0, -offset)]
    border, nearest = (range(-by), 0) if by < 0 else (range(width - by, width), width - 1)
    for column, channel in itertools.product(border, range(channels)):
        result[:, :, column, channel] = images[:, :, nearest, channel]
