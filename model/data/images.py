"""Labelled images held in memory: standardising and the augmentation of CIFAR."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from cpt.model.data.order import choose, draws
from cpt.model.data.source import DataError


@dataclass(frozen=True)
class ImageArrays:
    """Images (N, H, W, C), uint8 or float32, and their labels (N,) int64."""

    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.labels.shape != self.pixels.shape[:1] or not len(self.labels):
            raise DataError(
                f"images have shape {self.pixels.shape} and labels {self.labels.shape}; "
                "allowed: (N, H, W, C) and (N,), at least 1 image"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageSet:
    """Training and test images of one data set, and how they are prepared.

    ``mean``, ``deviation``: per channel, of pixels in 0..1 where they are uint8; None for images that are
    standardised already. ``pad``: zeros around a training image that it is cropped out of again at random
    (black, or the mean's colour where images are standardised already);
    ``flip``: half of the training images are mirrored.
    """

    name: str
    train: ImageArrays
    test: ImageArrays
    classes: int
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        for part in (self.train, self.test):
            if part.labels.min() < 0 or part.labels.max() >= self.classes:
                raise DataError(f"labels reach {part.labels.max()}; allowed: 0..{self.classes - 1}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        height, width, channels = self.train.pixels.shape[1:]
        return height, width, channels

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Prepared training images (N, H, W, C) float32 and labels, as they are in this epoch."""
        pixels = self.train.pixels[index]
        if self.pad or self.flip:
            pixels = augment(pixels, draws(index, 3, seed, epoch, len(self.train)), self.pad, self.flip)
        return self._standardise(pixels), self.train.labels[index]

    def test_batch(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prepared test images and labels."""
        return self._standardise(self.test.pixels[index]), self.test.labels[index]

    def sha256(self) -> str:
        """Hash of all pixels and labels; for float32 images that of `cpt.host.data.Dataset`."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            kind = "<f4" if part.pixels.dtype == np.float32 else "u1"
            digest.update(np.ascontiguousarray(part.pixels, kind).tobytes())
            digest.update(np.ascontiguousarray(part.labels, "<i8").tobytes())
        return digest.hexdigest()

    def _standardise(self, pixels: np.ndarray) -> np.ndarray:
        values = pixels.astype(np.float32)
        if pixels.dtype == np.uint8:
            values /= np.float32(255)
        if self.mean is not None:
            values -= np.asarray(self.mean, np.float32)
            values /= np.asarray(self.deviation, np.float32)
        return values


def augment(pixels: np.ndarray, noise: np.ndarray, pad: int, flip: bool) -> np.ndarray:
    """Each image (N, H, W, C) cropped out of its zero-padded self and perhaps mirrored.

    ``noise`` (N, 3) in [0, 1) decides row, column and mirroring. uint8 images are padded before they are
    standardised, so that the border is black, as in the public CPT code.
    """
    count, height, width, _ = pixels.shape
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows = choose(noise[:, :1], 2 * pad + 1) + np.arange(height)
    cols = choose(noise[:, 1:2], 2 * pad + 1) + np.arange(width)
    if flip:
        mirrored = noise[:, 2] < 0.5
        cols[mirrored] = cols[mirrored, ::-1]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], cols[:, None, :]]
