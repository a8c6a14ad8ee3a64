"""Images that come with the dependencies."""

import numpy as np

from cpt.data import digits, load_raw, photo_digits
from cpt.host.data import with_bytes


def test_photo_digits_are_bytes_and_always_the_same() -> None:
    data = with_bytes(load_raw("photo-digits"))
    assert data.train.pixels.shape == (1438, 8, 8, 3)
    assert data.sha256() == with_bytes(load_raw("photo-digits")).sha256()


def test_ink_of_photo_digits_has_one_colour_and_backgrounds_differ() -> None:
    plain, over = digits(), photo_digits()
    full, bare = plain.pixels[..., 0] == plain.pixels.max(), plain.pixels[..., 0] == 0
    for ink, pixels in zip(full, over.pixels, strict=True):
        assert len(np.unique(pixels[ink], axis=0)) <= 1
    assert len(np.unique(over.pixels[bare], axis=0)) > 10_000


def test_brightness_says_less_of_photo_digits_than_of_digits() -> None:
    """The mean image of a class finds the classes of digits, and not those of photo digits."""

    def found(name: str) -> float:
        data = load_raw(name)
        means = np.stack([data.train.pixels[data.train.labels == label].mean(0) for label in range(10)])
        distance = ((data.test.pixels[:, None] - means) ** 2).sum((2, 3, 4))
        return float((distance.argmin(1) == data.test.labels).mean())

    assert found("digits") > 0.85
    assert found("photo-digits") < 0.5
