"""`cpt fabric`: training on the golden functions, beside the float path."""

import json

import numpy as np
import pytest

from cpt.fabric import RUNS
from cpt.host.data import Images, save_images
from cpt.main import main

SHORT = ("fabric", "--width", "4", "--steps", "2", "--batch-size", "8", "--micro-batch", "4", "--quiet")


@pytest.fixture
def stripes(tmp_path):
    """Forty byte images of two classes, as a file."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pixels = rng.integers(0, 100, (40, 8, 8, 3)) + labels[:, None, None, None] * 100
    save_images(tmp_path / "stripes.npz", Images(pixels.astype(np.float32), labels.astype(np.int64)))
    return str(tmp_path / "stripes.npz")


@pytest.mark.parametrize("beside", ["float", "whole"])
def test_seeds_are_compared_in_pairs_and_finished_runs_are_kept(stripes, tmp_path, capsys, beside):
    command = (*SHORT, "--data", stripes, "--seeds", "2", "--beside", beside, "--out", str(tmp_path / "out"))
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("seed ") == 2
    assert f"fabric minus {beside}: " in printed
    assert "(2 pairs)" in printed
    lines = (tmp_path / "out" / RUNS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["key"]["seed"] for line in lines] == [0, 0, 1, 1]
    assert main(command) == 0
    assert capsys.readouterr().out == printed
    assert (tmp_path / "out" / RUNS).read_text(encoding="utf-8").splitlines() == lines


def test_what_does_not_fit_is_one_line(stripes, tmp_path, capsys):
    assert main((*SHORT, "--data", stripes, "--micro-batch", "3")) == 2
    assert capsys.readouterr().err == "cpt fabric: micro-batch is 3; allowed: a divisor of batch-size (8)\n"
    assert main((*SHORT, "--data", stripes, "--seeds", "0")) == 2
    assert "seeds is 0; allowed: 1..100" in capsys.readouterr().err
    assert main((*SHORT, "--data", stripes, "--bw", "1")) == 2
    assert "bw is 1; allowed: 2..16" in capsys.readouterr().err
    odd = Images(np.linspace(0, 1, 640, dtype=np.float32).reshape(10, 8, 8, 1), np.arange(10) % 2)
    save_images(tmp_path / "odd.npz", odd)
    assert main((*SHORT, "--data", str(tmp_path / "odd.npz"))) == 2
    assert "has pixels that are no bytes; allowed: whole numbers 0..255" in capsys.readouterr().err
