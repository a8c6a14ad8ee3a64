"""Pictures for super-resolution: pairs of a picture and its bicubically reduced self.

DIV2K, Flickr2K and Urban-100 in their published folders, and photographs that ship with Python packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cpt.model.data.decode import open_rgb
from cpt.model.data.order import choose, draws
from cpt.model.data.source import DataError, find_folder

PHOTOGRAPHS = (("astronaut", "rocket", "china.jpg", "flower.jpg"), ("chelsea", "coffee"))
"""Training and test photographs; names with an ending are scikit-learn's, the others scikit-image's."""


@dataclass(frozen=True)
class Picture:
    """One pair, read when needed. ``low`` None: the reduced picture is computed."""

    name: str
    high: Callable[[], np.ndarray]
    """(H, W, 3) uint8."""
    low: Callable[[], np.ndarray] | None
    scale: int

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """(reduced (h, w, 3), whole (scale*h, scale*w, 3)), uint8."""
        high, scale = self.high(), self.scale
        rows, cols = high.shape[0] // scale, high.shape[1] // scale
        high = high[: rows * scale, : cols * scale]
        low = reduce(high, scale) if self.low is None else self.low()
        if low.shape != (rows, cols, 3):
            raise DataError(
                f"picture {self.name} is {high.shape[:2]}, reduced {low.shape[:2]}; allowed: 1/{scale} of it"
            )
        return low, high


@dataclass(frozen=True)
class PictureSet:
    """Training and test pictures; ``patch``: side of a reduced training patch.

    ``repeats``: patches cut out of each training picture per epoch.
    """

    name: str
    train: Sequence[Picture]
    test: Sequence[Picture]
    scale: int
    patch: int = 48
    repeats: int = 1

    @property
    def train_count(self) -> int:
        """Patches of an epoch."""
        return len(self.train) * self.repeats

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Patches (N, p, p, 3) and what they were reduced from (N, scale*p, scale*p, 3), float32 in 0..1.

        Cut out at random, mirrored and turned by a quarter or not.
        """
        noise = draws(index, 5, seed, epoch, self.train_count)
        pairs = [
            self._patch(self.train[i % len(self.train)], row) for i, row in zip(index, noise, strict=True)
        ]
        return _unit(np.stack([low for low, _ in pairs])), _unit(np.stack([high for _, high in pairs]))

    def test_pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A whole test picture, (1, h, w, 3) and (1, scale*h, scale*w, 3), float32 in 0..1."""
        low, high = self.test[number].load()
        return _unit(low[None]), _unit(high[None])

    def sha256(self) -> str:
        """Hash of the names of all pictures, and of the first one's pixels in either part."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update("\n".join(picture.name for picture in part).encode())
            for pixels in part[0].load():
                digest.update(np.ascontiguousarray(pixels).tobytes())
        return digest.hexdigest()

    def _patch(self, picture: Picture, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = picture.load()
        side, scale = self.patch, self.scale
        if min(low.shape[:2]) < side:
            raise DataError(f"picture {picture.name} is reduced to {low.shape[:2]}; allowed: at least {side}")
        top = int(choose(noise[0], low.shape[0] - side + 1))
        left = int(choose(noise[1], low.shape[1] - side + 1))
        low = low[top : top + side, left : left + side]
        top, left, side = top * scale, left * scale, side * scale
        high = high[top : top + side, left : left + side]
        return _turn(low, noise[2:]), _turn(high, noise[2:])


def load_div2k(
    root: Path, scale: int = 4, *, flickr: Path | None = None, urban: Path | None = None
) -> PictureSet:
    """DIV2K's training pictures, with Flickr2K's if given; tested on DIV2K's 100 others, or on Urban-100.

    Folders: ``DIV2K_train_HR``, ``DIV2K_train_LR_bicubic/X4`` (``0001x4.png``), ``DIV2K_valid_...``;
    ``Flickr2K_HR``, ``Flickr2K_LR_bicubic/X4``. Without the reduced folder pictures are reduced here.
    """
    root = find_folder(root, ("DIV2K",), "DIV2K_train_HR")
    train = _pairs(root, "DIV2K_train", scale)
    name = "div2k"
    if flickr is not None:
        flickr = find_folder(flickr, ("Flickr2K",), "Flickr2K_HR")
        train, name = [*train, *_pairs(flickr, "Flickr2K", scale)], "df2k"
    test = _pairs(root, "DIV2K_valid", scale) if urban is None else load_urban100(urban, scale)
    return PictureSet(name, train, test, scale, repeats=16)


def load_urban100(root: Path, scale: int = 4) -> list[Picture]:
    """Urban-100's test pictures: ``image_SRF_4/img_001_SRF_4_HR.png`` and ``..._LR.png``."""
    folder = find_folder(root, ("Urban100", "Urban-100"), f"image_SRF_{scale}") / f"image_SRF_{scale}"
    ending = f"_SRF_{scale}_HR.png"
    found = []
    for path in sorted(folder.glob(f"*{ending}")):
        low = path.with_name(path.name.replace("_HR.png", "_LR.png"))
        found.append(Picture(path.stem, _File(path), _File(low) if low.is_file() else None, scale))
    if not found:
        raise DataError(f"data {folder} has no *{ending}; allowed: the published files")
    return found


def load_photographs(scale: int = 4, patch: int = 16) -> PictureSet:
    """Six photographs of 300 x 451 to 512 x 512 pixels, four to train on and two for testing.

    From scikit-image: astronaut, rocket (public domain), chelsea, coffee (CC0); from scikit-learn: china and
    flower (CC BY). So few pictures compare methods; they say little about others.
    """
    train, test = ([_photograph(name, scale) for name in names] for names in PHOTOGRAPHS)
    return PictureSet("photographs", train, test, scale, patch, repeats=150)


def _photograph(name: str, scale: int) -> Picture:
    """Cut to a multiple of ``scale`` pixels and reduced."""
    try:
        if "." in name:
            from sklearn.datasets import load_sample_image

            pixels = load_sample_image(name)
        else:
            import skimage.data

            pixels = getattr(skimage.data, name)()
    except ImportError as error:
        raise DataError(
            f"data photographs need {error.name}, which is not installed; "
            "allowed: pip install 'cpt-fpga[torch]'"
        ) from None
    pixels = pixels[: pixels.shape[0] // scale * scale, : pixels.shape[1] // scale * scale]
    return Picture(name, Held(pixels), Held(reduce(pixels, scale)), scale)


def reduce(pixels: np.ndarray, scale: int) -> np.ndarray:
    """``pixels`` (H, W, 3) uint8 reduced by ``scale`` with PIL's antialiased bicubic filter."""
    from PIL import Image

    size = pixels.shape[1] // scale, pixels.shape[0] // scale
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Held:
    """A picture in memory."""

    pixels: np.ndarray

    def __call__(self) -> np.ndarray:
        return self.pixels


@dataclass(frozen=True)
class _File:
    """A picture in a file."""

    path: Path

    def __call__(self) -> np.ndarray:
        return np.asarray(open_rgb(self.path))


def _pairs(root: Path, name: str, scale: int) -> list[Picture]:
    """Pictures of ``NAME_HR`` with those of ``NAME_LR_bicubic/X<scale>``."""
    high, low = root / f"{name}_HR", root / f"{name}_LR_bicubic" / f"X{scale}"
    found = []
    for path in sorted(high.glob("*.png")):
        reduced = low / f"{path.stem}x{scale}.png"
        if low.is_dir() and not reduced.is_file():
            raise DataError(f"data {reduced} is missing; allowed: one beside each of {high}")
        found.append(Picture(path.stem, _File(path), _File(reduced) if low.is_dir() else None, scale))
    if not found:
        raise DataError(f"data {high} has no *.png; allowed: the published files")
    return found


def _turn(pixels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Mirrored along either axis and transposed, each with probability one half."""
    if noise[0] < 0.5:
        pixels = pixels[::-1]
    if noise[1] < 0.5:
        pixels = pixels[:, ::-1]
    return pixels.transpose(1, 0, 2) if noise[2] < 0.5 else pixels


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)
