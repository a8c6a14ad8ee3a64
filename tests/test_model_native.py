"""Compiled passes over memory: the same bits as torch's, and torch's where there is no compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cpt.model import functional, native
from cpt.model.functional import Noise, Range, fake_quantise, tensor_range
from cpt.model.native import kernels, kernels_for

TESTS = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    kernels() is None, reason="no C compiler, or turned off by CPT_NATIVE: torch's passes are used"
)


def by_torch(function, *arguments, **options):
    """The same without compiled code."""
    kept = functional.kernels_for
    functional.kernels_for = lambda x: None
    try:
        return function(*arguments, **options)
    finally:
        functional.kernels_for = kept


def same(a, b):
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


def tensors():
    torch.manual_seed(0)
    yield torch.randn(1)
    yield torch.randn(1024 + 7) * 1e-30
    yield torch.randn(3, 1001) * 1e30
    yield torch.randn(4, 5, 9, 11).relu()
    yield torch.randn(4, 5, 9, 11).contiguous(memory_format=torch.channels_last)
    yield torch.full((1024,), -3.5)
    yield torch.nn.Parameter(torch.randn(40, 40))
    yield torch.randint(-9, 10, (2000,)).float() / 2  # halves, which round to even


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("noise", [None, Noise(0xFFFF_FFF1, False), Noise(77, True, 123_457)], ids=str)
def test_values_are_torchs_to_the_bit(number, bits, noise):
    x = [*tensors()][number].detach()
    bits, found = torch.tensor(bits), tensor_range(x)
    assert all(same(a, b) for a, b in zip(found, by_torch(tensor_range, x), strict=True))
    narrow = Range(found.lo / 2 + 0.1, found.hi / 2)
    for within, inside in ((found, True), (found, False), (narrow, False)):
        got = fake_quantise(x, bits, within, noise, inside=inside)
        want = by_torch(fake_quantise, x, bits, within, noise, inside=inside)
        assert same(got, want)
        assert got.stride() == want.stride()
        assert got.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(odd):
    x = torch.randn(5000)
    x[4321] = odd
    found = tensor_range(x)
    assert torch.equal(torch.stack(found).isnan(), torch.stack(by_torch(tensor_range, x)).isnan())
    if odd == odd:
        assert odd in (found.lo.item(), found.hi.item())
    usual = Range(torch.tensor(-1.0), torch.tensor(1.0))
    for noise in (None, Noise(3, False)):
        got = fake_quantise(x, torch.tensor(4), usual, noise)
        want = by_torch(fake_quantise, x, torch.tensor(4), usual, noise)
        assert torch.equal(got.nan_to_num(7), want.nan_to_num(7))
        assert torch.equal(got.isnan(), want.isnan())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads):
    x, before = torch.randn(100_003), torch.get_num_threads()
    want = fake_quantise(x, torch.tensor(5), tensor_range(x), Noise(9, False))
    torch.set_num_threads(threads)
    try:
        assert same(fake_quantise(x, torch.tensor(5), tensor_range(x), Noise(9, False)), want)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(1024, dtype=torch.float64),
        torch.zeros(1024, 2)[:, 0],
        torch.zeros(40, 60).t(),
        torch.zeros(1024, device="meta"),
        torch._subclasses.FakeTensorMode().from_tensor(torch.zeros(1024)),
    ],
    ids=["double", "every other", "transposed", "meta", "traced"],
)
def test_what_it_is_not_made_for_is_left_to_torch(x):
    assert kernels_for(x) is None


def test_ranges_of_slices_and_noise_in_another_order_are_torchs():
    x = torch.randn(4, 6, 16, 16)
    found = functional.slice_range(x, (0,))
    assert same(fake_quantise(x, torch.tensor(4), found), by_torch(fake_quantise, x, torch.tensor(4), found))
    found, noise = tensor_range(x), Noise(5, True)  # numbered with channels last, in memory they are not
    got = fake_quantise(x, torch.tensor(4), found, noise)
    assert same(got, by_torch(fake_quantise, x, torch.tensor(4), found, noise))


def python(code, **environment):
    """What a new process prints, which finds the modules of these tests."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(TESTS)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


STATE = "from cpt.model.native import kernels; print(kernels() is not None)"
TRAINED = """
import torch; torch.set_num_threads(1)
from torch_runs import SMALL, images
from cpt.model.training import TorchTrainer
from cpt.model.training.state import weights_sha256
from cpt.model.native import kernels
from dataclasses import replace
trainer = TorchTrainer(replace(SMALL, width=16), images(side=16))
trainer.train_epoch()
print(kernels() is not None, weights_sha256(trainer.model))
"""


def test_trained_weights_are_the_same_with_it_and_without():
    with_it, without = python(TRAINED), python(TRAINED, CPT_NATIVE="0")
    assert (with_it[0], without[0]) == ("True", "False")
    assert with_it[1] == without[1]


@pytest.mark.parametrize("does", ["false", "true"], ids=["fails", "writes nothing"])
def test_a_compiler_that_does_not_work_is_done_without(does, tmp_path):
    (tmp_path / "cc").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "cc").chmod(0o755)
    cache = tmp_path / "cache"
    assert python(STATE, PATH=str(tmp_path), XDG_CACHE_HOME=str(cache)) == ["False"]
    assert [*cache.rglob("*.so")] == []


def test_without_a_compiler_or_a_place_to_write_torch_does_it(tmp_path):
    assert python(STATE, PATH=str(tmp_path)) == ["False"]
    (tmp_path / "file").touch()
    assert python(STATE, XDG_CACHE_HOME=str(tmp_path / "file")) == ["False"]


def test_it_is_compiled_once(tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    assert python(STATE, **environment) == ["True"]
    (made,) = tmp_path.rglob("*.so")
    before = made.stat().st_mtime_ns
    assert python(STATE, **environment) == ["True"]
    assert made.stat().st_mtime_ns == before
    assert native.SOURCE.is_file()
