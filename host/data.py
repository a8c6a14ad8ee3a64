"""Labelled images as plain arrays: splitting, scaling, batches; where they come from is the caller's."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from cpt.host.errors import HostError
from cpt.host.files import write_atomically
from cpt.host.shifted import shifted
from cpt.hw.contract import ContractError
from cpt.hw.contract.config import require
from cpt.model.arithmetic import divide, sum_in_halves
from cpt.model.noise import noise_key, uniform
from cpt.model.npz import NpzError, read_npz

_ORDER_STREAM, _SHIFT_STREAM, _SPLIT_STREAM = 0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFD
"""Noise streams beside those of the layers, which count from 0."""
_BYTE = 255
_IMAGES_AT_ONCE = 256
"""Images summed at a time, so that the scratch stays small."""


@dataclass(frozen=True)
class Images:
    """Images (N, H, W, C), float32 or bytes, and their labels (N,) int64, 0 .. classes-1."""

    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.labels.shape != self.pixels.shape[:1]:
            raise ContractError(
                f"images have shape {self.pixels.shape} and labels {self.labels.shape}; "
                "allowed: (N, H, W, C) and (N,)"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Images:
        """The images at ``index``."""
        return Images(self.pixels[index], self.labels[index])


@dataclass(frozen=True)
class Dataset:
    """A training and a test set of the same shape."""

    name: str
    train: Images
    test: Images
    classes: int

    def describe(self) -> str:
        """The split, as a line."""
        height, width, channels = self.train.pixels.shape[1:]
        return (
            f"data: {self.name}, {len(self.train)} training and {len(self.test)} test images of "
            f"{height} x {width} x {channels}, {self.classes} classes"
        )

    def standardised(self) -> Dataset:
        """With the training pixels' mean taken away from both parts, over their deviation."""
        mean, deviation = mean_and_deviation(self.name, self.train)
        train, test = (
            Images(divide(part.pixels - mean, deviation), part.labels) for part in (self.train, self.test)
        )
        return Dataset(self.name, train, test, self.classes)

    def sha256(self) -> str:
        """Hash of all pixels and labels: what a run was trained and tested on."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(np.ascontiguousarray(part.pixels, "<f4").tobytes())
            digest.update(np.ascontiguousarray(part.labels, "<i8").tobytes())
        return digest.hexdigest()


def save_images(path: Path, images: Images) -> None:
    """Write ``images`` to an ``.npz`` file that `load_images` reads."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=images.pixels, labels=images.labels)
    write_atomically(path, buffer.getvalue())


def load_images(path: Path) -> Images:
    """Images from an ``.npz`` with ``pixels`` (N, H, W, C) and integer ``labels`` (N,), 0 .. classes-1.

    Raises `HostError` naming the file and the reason if it is missing, something else, or nothing to learn
    from: pixels that are not finite, or all the same.
    """
    try:
        content = read_npz(path, ("pixels", "labels"))
    except NpzError as error:
        shown = str(path) if str(path).isprintable() else repr(str(path))
        raise HostError(
            f"images {shown} cannot be read ({error}); allowed: an .npz of pixels, labels"
        ) from None
    pixels, labels = content["pixels"], content["labels"]

    def refuse(found: str, allowed: str) -> NoReturn:
        raise HostError(f"images {path} {found}; allowed: {allowed}")

    if labels.dtype.kind not in "iu" or pixels.dtype.kind not in "fiu":
        refuse(f"hold {pixels.dtype} and {labels.dtype}", "numbers, and whole numbers as labels")
    if pixels.ndim != 4 or labels.shape != pixels.shape[:1]:
        refuse(f"have shape {pixels.shape} and labels {labels.shape}", "(N, H, W, C) and (N,)")
    if not pixels.size:
        refuse(f"have shape {pixels.shape}", "at least one image of one pixel")
    if labels.min() < 0 or labels.max() >= len(labels):
        refuse(
            f"have labels {labels.min()}..{labels.max()}",
            f"0..classes-1, with images of each ({len(labels)} images)",
        )
    with np.errstate(over="ignore"):
        # numbers beyond float32's become infinite here, and are refused as such
        values = pixels.astype(np.float32)
    odd = ~np.isfinite(values).all(axis=(1, 2, 3))
    if odd.any():
        refuse(f"have pixels that are not finite (image {int(odd.argmax())})", "finite float32 numbers")
    if values.min() == values.max():
        refuse(f"have one value, {values.flat[0]:g}, in all pixels", "images that differ")
    return Images(values, labels.astype(np.int64))


def split(name: str, images: Images, *, test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """`held_out`, standardised."""
    return held_out(name, images, test_fraction=test_fraction, seed=seed).standardised()


def held_out(name: str, images: Images, *, test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Training and test part: ``test_fraction`` of each class is for testing, chosen by ``seed``.

    Raises `ContractError` for a fraction that leaves a class without training or test images.
    """
    order = shuffled(len(images), seed, 0, _SPLIT_STREAM)
    chosen = np.zeros(len(images), bool)
    classes = int(images.labels.max()) + 1
    for label in range(classes):
        members = order[images.labels[order] == label]
        count = round(len(members) * test_fraction)
        if not 0 < count < len(members):
            raise ContractError(
                f"test fraction is {test_fraction}; allowed: one that leaves each of {classes} classes "
                "images for training and testing"
            )
        chosen[members[:count]] = True
    train, test = images.take(np.flatnonzero(~chosen)), images.take(np.flatnonzero(chosen))
    return Dataset(name, train, test, classes)


def mean_and_deviation(name: str, train: Images) -> tuple[np.float32, np.float32]:
    """Of all training pixels; raises `ContractError` unless the deviation is above 0 and finite."""
    mean = np.float32(_mean(train.pixels))
    deviation = np.float32(math.sqrt(_mean(train.pixels, mean)))
    if not 0 < deviation < math.inf:
        raise ContractError(
            f"training pixels of {name} have deviation {deviation:g}; allowed: above 0, finite"
        )
    return mean, deviation


def _mean(pixels: np.ndarray, centre: np.float32 | None = None) -> float:
    """Mean of all pixels, or of their squared distances from ``centre``.

    In float64, `sum_in_halves` within an image and over the images.
    """
    sums = np.empty(len(pixels))
    for start in range(0, len(pixels), _IMAGES_AT_ONCE):
        some = pixels[start : start + _IMAGES_AT_ONCE].reshape(-1, pixels[0].size).T.astype(np.float64)
        if centre is not None:
            some -= centre
            some *= some
        sums[start : start + _IMAGES_AT_ONCE] = sum_in_halves(some, overwrite=True)
    return float(sum_in_halves(sums)) / pixels.size


def shuffled(count: int, seed: int, epoch: int, stream: int = _ORDER_STREAM) -> np.ndarray:
    """A permutation of ``count`` indices, a pure function of its arguments."""
    return np.argsort(uniform(noise_key(seed, epoch, stream), count), kind="stable")


def training_batches(
    images: Images, batch: int, *, seed: int, epoch: int, max_shift: int = 0, skip: int = 0
) -> Iterator[Images]:
    """Shuffled whole batches of one epoch from number ``skip`` on; a partial last batch is dropped.

    ``max_shift``: each image moves by up to that many pixels along each axis, at random; what enters has
    the value of the nearest border pixel.
    """
    order = shuffled(len(images), seed, epoch)
    for start in range(skip * batch, len(images) - batch + 1, batch):
        index = order[start : start + batch]
        if max_shift:
            noise = uniform(noise_key(seed, epoch, _SHIFT_STREAM), 2 * batch, 2 * start)
            drawn = np.floor((noise + np.float32(0.5)) * np.float32(2 * max_shift + 1)).astype(np.intp)
            by = drawn.reshape(batch, 2) - max_shift
            yield Images(shifted(images.pixels, index, by), images.labels[index])
        else:
            yield images.take(index)


def with_bytes(data: Dataset) -> Dataset:
    """``data`` with pixels of uint8; raises `ContractError` unless all of them are bytes."""
    train, test = (_bytes(data.name, part) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def _bytes(name: str, images: Images) -> Images:
    pixels = images.pixels
    whole = bool(pixels.min() >= 0 and pixels.max() <= _BYTE and (pixels == np.rint(pixels)).all())
    require(whole, f"data {name} has pixels that are no bytes; allowed: whole numbers 0..{_BYTE}")
    return Images(pixels.astype(np.uint8, order="C"), images.labels)


def affine(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset that standardise a byte, float32 per image channel."""
    mean, deviation = mean_and_deviation(data.name, data.train)
    values = 1 / float(deviation), -float(mean) / float(deviation)
    channels = data.train.pixels.shape[-1]
    factor, offset = (np.full(channels, value, np.float32) for value in values)
    return factor, offset
