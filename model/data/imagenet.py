"""ImageNet as folders of JPEG files, one per class, decoded when needed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cpt.model.data.decode import open_rgb as _open
from cpt.model.data.order import draws
from cpt.model.data.source import DataError

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
LONGEST = 100
"""The longer side of a test image over its shorter one, at most."""
TEST_MARGIN = 256 / 224
"""The shorter side of a test image over the square that is cut out of its middle."""


@dataclass(frozen=True)
class ImageFolder:
    """``root/train/CLASS/*`` and ``root/val/CLASS/*``; classes are numbered in alphabetical order.

    Training: a random part of 8..100 % of the area and 3:4..4:3 of the shape, resized, mirrored or not.
    Test: resized, the middle. ``side``: pixels of the square images.
    """

    root: Path
    side: int = 224
    name: str = "imagenet"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self._classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.side, self.side, 3

    @cached_property
    def train(self) -> list[tuple[Path, int]]:
        """Files and labels."""
        return self._list("train")

    @cached_property
    def test(self) -> list[tuple[Path, int]]:
        """Files and labels."""
        return self._list("val")

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Prepared training images (N, H, W, C) float32 and labels, as they are in this epoch."""
        noise = draws(index, 5, seed, epoch, len(self.train))
        images = [self._random_part(self.train[i][0], row) for i, row in zip(index, noise, strict=True)]
        return _standardise(images), np.array([self.train[i][1] for i in index], np.int64)

    def test_batch(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prepared test images and labels."""
        images = [self._middle(self.test[i][0]) for i in index]
        return _standardise(images), np.array([self.test[i][1] for i in index], np.int64)

    def sha256(self) -> str:
        """Hash of names and sizes of all files; their contents are too large to read for it."""
        digest = hashlib.sha256()
        for path, _ in (*self.train, *self.test):
            line = f"{path.relative_to(self.root)} {path.stat().st_size}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    @cached_property
    def _classes(self) -> list[str]:
        folder = self.root / "train"
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if not names:
            raise DataError(f"data {folder} has no class folders; allowed: train/CLASS/*.JPEG")
        return names

    def _list(self, part: str) -> list[tuple[Path, int]]:
        found = [
            (path, label)
            for label, name in enumerate(self._classes)
            for path in sorted((self.root / part / name).glob("*"))
            if path.suffix.lower() in SUFFIXES
        ]
        if not found:
            raise DataError(f"data {self.root / part} has no images; allowed: {part}/CLASS/*.JPEG")
        return found

    def _random_part(self, path: Path, noise: np.ndarray) -> np.ndarray:
        """``noise``: area, shape, row, column, mirroring; each in [0, 1)."""
        image = _open(path)
        area = image.width * image.height * (0.08 + 0.92 * float(noise[0]))
        ratio = math.exp((2 * float(noise[1]) - 1) * math.log(4 / 3))
        width = min(image.width, max(1, round(math.sqrt(area * ratio))))
        height = min(image.height, max(1, round(math.sqrt(area / ratio))))
        left = int(float(noise[2]) * (image.width - width + 1))
        top = int(float(noise[3]) * (image.height - height + 1))
        part = _resize(image.crop((left, top, left + width, top + height)), self.side, self.side)
        return part[:, ::-1] if noise[4] < 0.5 else part

    def _middle(self, path: Path) -> np.ndarray:
        image = _open(path)
        if max(image.size) > LONGEST * min(image.size):
            raise DataError(
                f"data {path} is {image.width} x {image.height}; allowed: sides at most 1:{LONGEST}"
            )
        scale = round(self.side * TEST_MARGIN) / min(image.width, image.height)
        pixels = _resize(
            image, max(self.side, round(image.width * scale)), max(self.side, round(image.height * scale))
        )
        top, left = (pixels.shape[0] - self.side) // 2, (pixels.shape[1] - self.side) // 2
        return pixels[top : top + self.side, left : left + self.side]


def _resize(image: Any, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8, bilinear."""
    from PIL import Image

    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _standardise(images: list[np.ndarray]) -> np.ndarray:
    pixels = np.stack(images).astype(np.float32) / np.float32(255)
    return (pixels - np.asarray(MEAN, np.float32)) / np.asarray(DEVIATION, np.float32)
