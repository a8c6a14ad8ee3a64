"""The torch arithmetic gives the codes and the noise of the golden model, to the bit."""

import numpy as np
import pytest
import torch

from cpt.model import golden
from cpt.model.functional import (
    Noise,
    Range,
    add_noise_,
    codes,
    fake_quantise,
    mix,
    noise_key,
    noise_like,
    slice_range,
    tensor_range,
    uniform,
)
from cpt.model.noise import mix as python_mix
from cpt.model.noise import noise_key as python_noise_key
from cpt.model.noise import uniform as numpy_uniform


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("stochastic", [False, True])
def test_codes_equal_the_golden_ones(bits, stochastic):
    x = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(bits))
    noise = Noise(python_noise_key(1, 2, 3), channels_first=False) if stochastic else None
    want = golden.quantise(
        x.numpy(), bits, noise=numpy_uniform(noise.key, x.numel()) if noise is not None else None
    )
    found = tensor_range(x)
    got = codes(x, torch.tensor(bits), found, noise, inside=True)
    assert np.array_equal(got.numpy(), want.codes)
    assert np.array_equal(
        fake_quantise(x, torch.tensor(bits), found, noise, inside=True).numpy(), golden.dequantise(want)
    )


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_weights_get_a_range_per_channel_of_either_side(bits):
    w = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(bits))
    for axis in (0, 1):
        want = golden.quantise(w.numpy(), bits, axis=axis)
        found = slice_range(w, (axis,))
        assert np.array_equal(codes(w, torch.tensor(bits), found, inside=True).numpy(), want.codes)


def test_values_outside_a_given_range_are_cut_off():
    x = torch.tensor([-9.0, 0.0, 1.0, 9.0])
    found = Range(torch.tensor(0.0), torch.tensor(1.0))
    assert codes(x, torch.tensor(4), found).tolist() == [0, 0, 15, 15]


def test_tensor_noise_is_that_of_numpy_for_any_offset():
    key = python_noise_key(4, 5, 6)
    compiled = torch.compile(uniform, backend="eager", fullgraph=True, dynamic=False)
    for offset in (0, 12345):
        want = numpy_uniform(key, 70_000, offset)
        assert np.array_equal(uniform(key, 70_000, offset=offset).numpy(), want)
        assert np.array_equal(compiled(torch.tensor(key), 70_000, "cpu", offset).numpy(), want)


def test_the_hash_and_the_keys_are_those_of_plain_python():
    words = [0, 1, 0xDEADBEEF, 2**31, 2**32 - 1]
    signed = torch.tensor([word - 2**32 if word >= 2**31 else word for word in words], dtype=torch.int32)
    for form in (signed, torch.tensor(words)):
        assert [value % 2**32 for value in mix(form).tolist()] == [python_mix(word) for word in words]
    compiled = torch.compile(noise_key, backend="eager", fullgraph=True)
    for step in (0, 7, 100_000):
        want = python_noise_key(2**32 - 1, step, 9)
        assert noise_key(2**32 - 1, torch.tensor(step), 9) == want
        assert int(compiled(2**32 - 1, torch.tensor(step), 9)) % 2**32 == want


def test_noise_of_an_image_does_not_depend_on_its_memory_format():
    noise = Noise(99, channels_first=True)
    x = torch.zeros(2, 4, 4, 4)
    rows = noise_like(x, noise)
    last = x.to(memory_format=torch.channels_last)
    assert torch.equal(rows, noise_like(last, noise))
    assert torch.equal(rows.permute(0, 2, 3, 1).flatten(), uniform(99, 128))
    for y in (x.clone(), last.clone(memory_format=torch.preserve_format)):
        add_noise_(y, noise)
        assert torch.equal(y, rows)
