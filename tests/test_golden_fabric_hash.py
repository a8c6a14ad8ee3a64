"""Noise bytes of the fabric: which byte of which hash an element gets, and what makes them usable."""

import numpy as np
import pytest

from cpt.model.golden.fabric.hash import error_key, noise_bytes
from cpt.model.noise import GOLDEN, hashes, mix, noise_key


def test_hashes_are_the_mix_of_their_number():
    key = noise_key(5, 6, 7)
    found = hashes(key, 40_000)
    assert all(found[i] == mix(i * GOLDEN + key) for i in (0, 1, 32_767, 32_768, 39_999))


def test_the_key_has_the_micro_batch_as_a_fourth_part():
    assert error_key(1, 2, 3, 0) == mix(noise_key(1, 2, 3) + GOLDEN)
    assert error_key(1, 2, 3, 5) == mix(noise_key(1, 2, 3) + 5 + GOLDEN)
    with pytest.raises(ValueError, match="noise micro-batch is -1; allowed"):
        error_key(0, 0, 0, -1)


@pytest.mark.parametrize("shape", [(2, 3, 8, 5), (1, 2, 5, 3), (3, 1, 1, 4), (2, 2, 2, 2)])
def test_four_pixels_of_a_row_share_a_hash_and_no_hash_spans_two_rows(shape):
    batch, height, width, channels = shape
    key = error_key(3, 1, 4, 1)
    found = noise_bytes(key, shape)
    pitch = -(-width // 4) * 4
    for n in range(batch):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    i = ((n * channels + c) * height + y) * pitch + x
                    word = mix((i >> 2) * GOLDEN + key)
                    assert found[n, y, x, c] == (word >> 8 * (i % 4)) & 255


def test_bytes_are_uniform_and_neighbours_and_micro_batches_are_independent():
    shape = (16, 32, 32, 16)
    first = noise_bytes(error_key(0, 0, 0, 0), shape).astype(float)
    counts = np.bincount(first.astype(int).ravel(), minlength=256)
    expected = first.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 350
    for other in (error_key(0, 0, 0, 1), error_key(0, 0, 1, 0), error_key(0, 1, 0, 0), error_key(1, 0, 0, 0)):
        assert abs(np.corrcoef(first.ravel(), noise_bytes(other, shape).ravel())[0, 1]) < 0.01
    for axis in range(4):
        pairs = np.moveaxis(first, axis, 0)
        assert abs(np.corrcoef(pairs[1:].ravel(), pairs[:-1].ravel())[0, 1]) < 0.01
