"""Noise: test vectors of the specification, and what makes it usable for rounding."""

import numpy as np
import pytest

from cpt.model.noise import GOLDEN, mix, noise_key, uniform


def test_vectors_of_the_specification_hold():
    assert mix(0) == 0
    assert mix(1) == 0x6889_90C0
    assert mix(0xDEAD_BEEF) == 0xE628_C683
    key = noise_key(1, 2, 3)
    assert key == 0xAC2A_7F28
    assert [mix(i * GOLDEN + key) for i in range(3)] == [3616570097, 3933881265, 1795906891]


def test_fraction_is_the_upper_24_bits_of_the_hash():
    key = noise_key(7, 0, 1)
    want = [(mix(i * GOLDEN + key) >> 8) / 2**24 - 0.5 for i in range(100)]
    assert uniform(key, 100).tolist() == want


def test_any_part_can_be_drawn_alone():
    key = noise_key(0, 9, 4)
    whole = uniform(key, 100_000)
    assert np.array_equal(whole[70_001:70_101], uniform(key, 100, offset=70_001))


def test_noise_is_uniform_and_independent_between_keys():
    first = uniform(noise_key(0, 0, 0), 1 << 18)
    assert first.min() >= -0.5
    assert first.max() < 0.5
    counts = np.histogram(first, 64, (-0.5, 0.5))[0]
    assert ((counts - 4096) ** 2 / 4096).sum() < 120
    for other in (noise_key(1, 0, 0), noise_key(0, 1, 0), noise_key(0, 0, 1)):
        assert abs(np.corrcoef(first, uniform(other, 1 << 18))[0, 1]) < 0.01
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.01


def test_a_counter_outside_32_bits_is_refused():
    with pytest.raises(ValueError, match="noise step is -1; allowed"):
        noise_key(0, -1, 0)
