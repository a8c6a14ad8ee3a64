"""``cpt train --quantiser FILE.py:CLASS``: a quantiser of the user's own."""

import json

import own_quantiser
import pytest

from cpt.main import main
from cpt.model.quantisers import registry
from cpt.model.training import TorchConfig
from cpt.model.training.own_quantiser import OwnQuantiser

FILE = own_quantiser.SOURCE.replace('@register_quantiser("power-of-two")\n', "")
SMALL = ["--device", "cpu", "--width", "4", "--steps", "2", "--batch-size", "8", "--run-name", "own"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def train(spelled, out, *options):
    return main(["train", *SMALL, "--quantiser", spelled, "--out", str(out), *options])


def test_it_trains_is_recorded_and_resumed_from_the_same_file_alone(file, tmp_path, capsys):
    spelled, runs = f"{file}:PowerOfTwo", tmp_path / "runs"
    assert len(FILE.splitlines()) < 60
    assert train(spelled, runs, "--quantiser-options", "share=0.5") == 0
    summary = json.loads((runs / "own" / "summary.json").read_text())
    assert summary["quantiser"] == summary["config"]["quantiser"] == "mine.py:PowerOfTwo"
    assert summary["config"]["quantiser_options"] == {"share": 0.5}
    again = TorchConfig.from_dict(summary["config"])
    assert again.quantisation().plug.share == 0.5
    assert train(spelled, runs, "--quantiser-options", "share=0.5", "--resume") == 0
    assert json.loads((runs / "own" / "summary.json").read_text()) == summary
    capsys.readouterr()
    assert train(spelled, runs, "--resume") == 2
    assert "quantiser_options {'share': 0.5}, here {}" in capsys.readouterr().err
    file.write_text(FILE + "# another\n")
    assert train(spelled, runs, "--quantiser-options", "share=0.5", "--resume") == 2
    assert "quantiser_sha256" in capsys.readouterr().err


def test_an_interrupted_run_ends_as_an_uninterrupted_one(file, tmp_path):
    options = ("--save-every", "1", "--steps", "4")
    spelled, runs = f"{file}:PowerOfTwo", tmp_path / "runs"
    assert train(spelled, runs, *options) == 0
    folder = runs / "own"
    whole = json.loads((folder / "summary.json").read_text())
    (folder / "checkpoint.previous.npz").replace(folder / "checkpoint.npz")
    assert train(spelled, runs, *options, "--resume") == 0
    assert json.loads((folder / "summary.json").read_text()) == whole


def test_a_class_registered_in_its_file_has_two_names(tmp_path):
    path = tmp_path / "named.py"
    path.write_text(own_quantiser.SOURCE.replace('"power-of-two"', '"mine"'))
    OwnQuantiser.given(f"{path}:PowerOfTwo")
    plug = TorchConfig(quantiser="named.py:PowerOfTwo").quantisation().plug
    assert plug == TorchConfig(quantiser="mine").quantisation().plug
    assert plug.name == "mine"


GRADIENT = "return fake_quantise(grad, bits, self._wide(batch.range(grad), bits), noise, 1e-30)"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (GRADIENT, "return grad.missing", "mine.py line 37: AttributeError: "),
        ("import torch\n", "import torch\nimport nothing_of_that_name\n", "ModuleNotFoundError"),
        (
            "@dataclass(frozen=True)\n",
            "",
            "quantiser PowerOfTwo is no dataclass; allowed: @dataclass(frozen=True)",
        ),
        (
            "return StraightThrough.apply(w, bits, lo, hi, None, 1e-30, False)",
            "return w.round()",
            "lets no gradient through to weights; allowed: straight through",
        ),
        (
            "return StraightThrough.apply(x, bits, lo, hi, None, 1e-30, False)",
            "return x[:1]",
            "makes activations (1, 2, 5, 5) of (2, 2, 5, 5); allowed: the same shape",
        ),
        ("def gradient", "def gradients", "has no gradient; allowed: with activation, gradient, weight"),
        ("if not 0 < self.share", "if not 0 < self.part", "mine.py line 20: AttributeError"),
        ("class PowerOfTwo(Quantiser)", "class PowerOfTwo", "allowed: a class derived from Quantiser"),
        ("class PowerOfTwo", "class Another", "has no class 'PowerOfTwo'"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line_that_names_it(file, tmp_path, capsys, old, new, reason):
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    assert train(f"{file}:PowerOfTwo", tmp_path / "runs") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("cpt train: quantiser ")
    assert reason in last


@pytest.mark.parametrize(
    ("spelled", "options", "reason"),
    [
        ("mine.py", (), "quantiser is 'mine.py'; allowed: cyclebnn, dorefa, "),
        ("mine.txt:PowerOfTwo", (), "quantiser is 'mine.txt:PowerOfTwo'; allowed: FILE.py:class"),
        ("gone.py:PowerOfTwo", (), "gone.py cannot be read"),
        (
            "mine.py:PowerOfTwo",
            ("--quantiser-options", "share=2"),
            "mine.py line 21: ValueError: share is 2.0; allowed: above 0, at most 1",
        ),
        ("mine.py:PowerOfTwo", ("--quantiser-options", "part=1"), "has no option 'part'; allowed: share"),
    ],
)
def test_what_is_wrong_with_the_words_is_one_line(
    file, tmp_path, monkeypatch, capsys, spelled, options, reason
):
    monkeypatch.chdir(tmp_path)
    assert train(spelled, tmp_path / "runs", *options) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_a_method_that_learns_bits_is_refused(file, tmp_path, capsys):
    """Its quantiser passes no gradient to them, and does not say that it does."""
    assert train(f"{file}:PowerOfTwo", tmp_path / "runs", "--method", "ldp") == 2
    assert "quantiser is 'mine.py:PowerOfTwo'; allowed: dorefa, fabric, sbm" in capsys.readouterr().err


def test_other_commands_take_it_too(file, tmp_path, capsys):
    spelled = f"{file}:PowerOfTwo"
    assert train(spelled, tmp_path) == 0
    command = [
        "landscape",
        str(tmp_path / "own"),
        "--points",
        "3",
        "--samples",
        "32",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 2
    assert "trained mine.py:PowerOfTwo; allowed: with --quantiser FILE.py:CLASS" in capsys.readouterr().err
    assert main([*command, "--quantiser", spelled]) == 0
    file.write_text(FILE + "\n")
    assert main([*command, "--quantiser", spelled]) == 2
    assert "allowed: the file as it was" in capsys.readouterr().err
    tested = [
        "range-test",
        "--bits",
        "2",
        "3",
        "--steps",
        "2",
        "--window",
        "1",
        "--batch-size",
        "8",
        "--width",
        "4",
    ]
    out = ["--quantiser", spelled, "--quantiser-options", "share=0.9", "--out", str(tmp_path / "range")]
    assert main([*tested, *out]) == 0
