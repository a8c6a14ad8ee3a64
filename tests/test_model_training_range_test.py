"""The precision range test on a task, and its command."""

import json

import numpy as np
import pytest
import torch

from cpt.main import main
from cpt.model.data import ImageArrays, ImageSet
from cpt.model.range_test import RangeTest
from cpt.model.training import Classification, TorchConfig
from cpt.model.training.range_test import find_bounds, guessing

torch.set_num_threads(1)


def bright_images(classes=4):
    """Classes that differ in brightness: learned within a few steps."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % classes
    pixels = rng.normal(0, 0.2, (64, 8, 8, 1)) + labels[:, None, None, None]
    part = ImageArrays(pixels.astype(np.float32), labels)
    return Classification(ImageSet("brightness", part, part, classes))


def test_the_bits_rise_and_the_first_that_learns_is_the_lower_bound():
    task = bright_images()
    config = TorchConfig(model="resnet8", width=4, batch_size=16, lr=0.05, seed=1)
    settings = RangeTest(bits=(2, 4), steps=12, window=4, chance=guessing(task))
    result = find_bounds(config, task, settings)
    assert [bits for bits, _ in result.curve] == [2] * 12 + [3] * 12 + [4] * 12
    assert guessing(task) == 0.25
    gains = result.improvements
    passed = [gain >= settings.threshold for gain in gains]
    assert result.passed
    assert result.lower_bound == 2 + passed.index(True)
    assert result.accuracies[-1] > 0.6
    assert find_bounds(config, task, settings) == result


def test_range_test_writes_curve_and_figure(capsys, tmp_path):
    words = (
        "range-test",
        "--width",
        "4",
        "--steps",
        "2",
        "--window",
        "1",
        "--bits",
        "3",
        "4",
        "--threshold",
        "2",
    )
    assert main((*words, "--out", str(tmp_path), "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["bits"], result["steps"], result["chance"]) == ([3, 4], 2, 0.1)
    assert (result["lower_bound"], result["passed"]) == (4, False)
    curve = json.loads((tmp_path / "curve.json").read_text())["curve"]
    assert [bits for bits, _ in curve] == [3, 3, 4, 4]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert main((*words, "--out", str(tmp_path))) == 0
    assert "lower bound: none gains 200 points; 4 bits, the highest tested" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bits", "5", "3"), "cpt range-test: lo is 5; allowed: at most hi (3)\n"),
        (("--window", "200"), "cpt range-test: window is 200; allowed: 1..steps (100)\n"),
        (("--model", "vgg"), "cpt range-test: model is 'vgg'; allowed: "),
        (("--data", "photographs", "--model", "pan1"), "cpt range-test: data is 'photographs"),
        (
            ("--data", "communities", "--model", "vit"),
            "cpt range-test: model is 'vit'; allowed for communities",
        ),
        (("--threads", "0"), "cpt range-test: threads is 0; allowed: at least 1\n"),
    ],
)
def test_wrong_settings_are_one_line(capsys, words, message):
    assert main(("range-test", *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_automatic_bounds_come_from_the_range_test_and_are_kept_for_resuming(capsys, tmp_path):
    words = (
        "train",
        "--device",
        "cpu",
        "--width",
        "4",
        "--steps",
        "4",
        "--cycles",
        "1",
        "--no-compare",
        "--json",
    )
    words = (*words, "--fw", "auto", "3", "--batch-size", "8", "--out", str(tmp_path), "--run-name", "a")
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    curve = tmp_path / "a" / "range-test" / "curve.json"
    tested = json.loads(curve.read_text())
    assert summary["config"]["fw"] == [tested["lower_bound"], 3]
    assert summary["range_test"]["bits"] == [2, 3]
    before = curve.stat().st_mtime_ns
    assert main((*words, "--resume")) == 0
    assert curve.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--fw", "3", "auto", "--device", "cpu"),
            "fw is 3 auto; allowed: one or two bit-widths, or auto first\n",
        ),
        (
            ("--fw", "auto", "--device", "cpu", "--method", "static"),
            "fw is auto with method static; allowed: a ",
        ),
        (("--fw", "auto"), "fw is auto; allowed: one or two bit-widths\n"),
    ],
)
def test_automatic_bounds_where_there_are_none_are_one_line(capsys, words, message):
    assert main(("train", *words)) == 2
    assert capsys.readouterr().err.startswith(f"cpt train: {message}")
