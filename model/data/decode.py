"""Image files to pixels, whatever their format; every failure is one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cpt.model.data.source import DataError, first_line, regular_file

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
"""Endings of image files in class folders, in small letters."""
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Pillow's names for images without colours."""
SIXTEEN_BITS = 65535


def open_rgb(path: Path) -> Image:
    """The image in ``path``, as Pillow's, decoded, in RGB with 8 bits a channel.

    16 bits are scaled to 8, nearest. Raises `DataError` naming the file.
    """
    return _decoded(path, "RGB")


def open_grey(path: Path) -> Image:
    """The same with one channel."""
    return _decoded(path, "L")


def header(path: Path) -> tuple[int, int, bool]:
    """Height, width and whether there are colours, by the head of the file; nothing is decoded."""
    with _opened(path) as image:
        return image.height, image.width, image.mode not in GREY_MODES


def _decoded(path: Path, mode: str) -> Image:
    with _opened(path) as image:
        if image.mode == "F":
            raise DataError(f"data {path} has floating-point pixels; allowed: whole numbers")
        return (_eight_bits(image, path) if image.mode.startswith("I") else image).convert(mode)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The open file; whatever its reader raises inside becomes a `DataError`."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            "Pillow, which reads images, is not installed; allowed: pip install 'cpt-fpga[torch]'"
        ) from None
    try:
        with Image.open(regular_file(path)) as image:
            yield image
    except DataError:
        raise
    except Exception as error:
        # Pillow raises SyntaxError, struct.error, IndexError and more for damaged files
        raise DataError(f"data {path} cannot be read ({first_line(error)}); allowed: an image") from None


def _eight_bits(image: Image, path: Path) -> Image:
    """An image of 16 bits (Pillow's I and I;16) with 8."""
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= SIXTEEN_BITS:
        raise DataError(f"data {path} has pixels {values.min()}..{values.max()}; allowed: 0..{SIXTEEN_BITS}")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
