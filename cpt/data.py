"""Where training images come from: digits that ship with scikit-learn, a file of arrays, or class folders."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpt.host.data import Dataset, Images, held_out, load_images
from cpt.host.errors import HostError
from cpt.model.noise import noise_key, uniform

DIGITS, PHOTO_DIGITS = "digits", "photo-digits"
BUNDLED = Path(__file__).with_name("digits.npz")
"""The digits as a file, in the archive for boards (`cpt package`)."""
SPLIT_SEED = 0
"""Which images are held out; the same for every training seed, so that runs are compared on one test set."""


def add_image_size(parser: argparse._ActionsContainer) -> None:
    """Declare ``--image-size``."""
    parser.add_argument(
        "--image-size",
        type=int,
        nargs="+",
        metavar="N",
        help="side, or height and width, that images of class folders are brought to",
    )


def load_dataset(source: str, image_size: Sequence[int] | None = None) -> Dataset:
    """The images of ``source``, standardised; where there is no test part, a fifth of each class is held out.

    Args:
        source: a name of `BY_NAME`; or the path of an ``.npz`` file as `cpt.host.data.save_images` writes
            it: how images reach a board, which has no scikit-learn; or a folder of class folders
            (`cpt.model.data.load_class_folders`).
        image_size: side, or height and width, that the images of class folders are brought to.

    Raises `HostError` in one line if they cannot be had.
    """
    return load_raw(source, image_size).standardised()


def load_raw(source: str, image_size: Sequence[int] | None = None) -> Dataset:
    """The same with pixels as they come."""
    path = Path(source)
    if source not in BY_NAME and path.is_dir():
        return _class_folders(path, image_size)
    if image_size:
        raise HostError(f"image-size is given for data {source!r}; allowed: a folder of class folders")
    if source in BY_NAME:
        return held_out(source, BY_NAME[source](), seed=SPLIT_SEED)
    if path.suffix != ".npz":
        raise HostError(
            f"data is {source!r}; allowed: {', '.join(BY_NAME)}, an .npz file, or a folder of class folders"
        )
    return held_out(path.stem, load_images(path), seed=SPLIT_SEED)


def _class_folders(root: Path, image_size: Sequence[int] | None) -> Dataset:
    from cpt.model.data import DataError, load_class_folders

    if image_size and len(image_size) > 2:
        raise HostError(
            f"image-size is {' '.join(map(str, image_size))}; allowed: a side, or height and width"
        )
    size = (image_size[0], image_size[-1]) if image_size else None
    name = root.resolve().name or "images"
    try:
        found = load_class_folders(root, size)
    except DataError as error:
        raise HostError(str(error)) from None
    train = _images(found.train)
    if found.test is None:
        return held_out(name, train, seed=SPLIT_SEED)
    return Dataset(name, train, _images(found.test), len(found.classes))


def _images(part: tuple[np.ndarray, np.ndarray]) -> Images:
    pixels, labels = part
    return Images(pixels.astype(np.float32), labels)


def digits() -> Images:
    """1,797 real images of handwritten digits, (N, 8, 8, 1), values 0..16, ten classes; no download.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    if BUNDLED.is_file():
        return load_images(BUNDLED)
    bunch = _sklearn_datasets().load_digits()
    return Images(bunch.images[..., None].astype(np.float32), bunch.target.astype(np.int64))


def photo_digits() -> Images:
    """Each digit in a random colour over a patch of a photograph, (1797, 8, 8, 3), 0..255; no download.

    Harder than `digits`: brightness and colour say nothing about the class. The photographs are the two
    sample images of scikit-learn, a quarter of their height and width.
    """
    datasets = _sklearn_datasets()
    photographs = [picture[::4, ::4] for picture in datasets.load_sample_images().images]
    plain = digits()
    side = plain.pixels.shape[1]
    drawn = uniform(noise_key(0, 0, 0), 6 * len(plain)).reshape(-1, 6) + np.float32(0.5)
    made = np.empty((len(plain), side, side, 3), np.float32)
    for picture, digit, (which, down, right, *colour) in zip(made, plain.pixels, drawn, strict=True):
        photograph = photographs[int(which * len(photographs))]
        top, left = (
            int(at * (size - side + 1)) for at, size in zip((down, right), photograph.shape[:2], strict=True)
        )
        ink = digit / plain.pixels.max()
        picture[:] = ink * (51 + 204 * np.array(colour, np.float32))
        picture += (1 - ink) * photograph[top : top + side, left : left + side]
    return Images(np.rint(made), plain.labels)


def _sklearn_datasets() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise HostError(
            "scikit-learn, which holds the digits, is not installed; allowed: pip install 'cpt-fpga[torch]', "
            "or --data with a file of images"
        ) from None
    return datasets


BY_NAME: dict[str, Callable[[], Images]] = {DIGITS: digits, PHOTO_DIGITS: photo_digits}
"""Images that come with the dependencies."""
