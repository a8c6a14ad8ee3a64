"""``cpt train --network FILE.py:function``: a network of the user's own."""

import json

import pytest

from cpt.main import main
from cpt.model.training.own_network import OwnNetwork

FILE = """
from torch import nn

def small(classes, channels):
    first = nn.Conv2d(channels, 4, 3)
    return nn.Sequential(first, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, classes))

def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def wrong(image_size, **rest):
    return nn.Sequential(nn.Flatten(), nn.Linear(image_size[0], 10))

def fails():
    raise KeyError("no weights")

def text():
    return "net"

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def train(spelled, out, *options):
    words = ["--device", "cpu", "--network", spelled, "--steps", "2", "--batch-size", "8", "--out", str(out)]
    return main(["train", *words, "--run-name", "own", *options])


def test_a_network_of_ones_own_is_quantised_trained_and_resumed_from_the_same_file_alone(
    file, tmp_path, capsys
):
    assert train(f"{file}:small", tmp_path / "runs") == 0
    summary = json.loads((tmp_path / "runs" / "own" / "summary.json").read_text())
    assert summary["network"] == "mine.py:small"
    assert summary["config"]["model"] == "mine.py:small"
    assert summary["gbitops"] > 0
    assert train(f"{file}:small", tmp_path / "runs", "--resume") == 0
    capsys.readouterr()
    file.write_text(FILE + "# another")
    assert train(f"{file}:small", tmp_path / "runs", "--resume") == 2
    assert "network_sha256" in capsys.readouterr().err


def test_parameters_are_given_where_the_function_has_them(file):
    assert OwnNetwork(f"{file}:fixed").build(10, 1, (8, 8))[1].in_features == 64
    assert OwnNetwork(f"{file}:small").build(7, 1, (8, 8))[3].out_features == 7


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("fails", "mine.py line 15: KeyError: 'no weights'"),
        ("wrong", "mine.py: RuntimeError: "),
        ("text", "gives a str; allowed: a torch.nn.Module"),
        ("number", "has no function 'number'"),
        ("absent", "has no function 'absent'"),
        ("not this", "allowed: FILE.py:function"),
    ],
)
def test_what_fails_in_the_file_is_one_line_that_names_it(file, tmp_path, capsys, function, reason):
    assert train(f"{file}:{function}", tmp_path / "runs") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("cpt train: network ")
    assert reason in last


def test_a_file_that_is_no_python_names_the_line(file, tmp_path):
    file.write_text("x = 1\ndef small(:\n")
    with pytest.raises(ValueError, match=r"mine\.py line 2: SyntaxError"):
        OwnNetwork(f"{file}:small").build(10, 1, (8, 8))
    with pytest.raises(ValueError, match=r"gone\.py cannot be read"):
        OwnNetwork(f"{tmp_path / 'gone.py'}:small")


def test_the_landscape_of_a_run_wants_the_same_file(file, tmp_path, capsys):
    spelled = f"{file}:small"
    assert train(spelled, tmp_path) == 0
    (run,) = tmp_path.glob("*/summary.json")
    command = [
        "landscape",
        str(run.parent),
        "--points",
        "3",
        "--samples",
        "32",
        "--out",
        str(tmp_path / "out"),
    ]
    capsys.readouterr()
    assert main(command) == 2
    assert "trained mine.py:small; allowed: with --network FILE.py:FUNCTION" in capsys.readouterr().err
    assert main([*command, "--network", spelled]) == 0
    assert "loss" in capsys.readouterr().out
    file.write_text(FILE + "\n")
    assert main([*command, "--network", spelled]) == 2
    assert "allowed: the file as it was" in capsys.readouterr().err
