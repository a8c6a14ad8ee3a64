"""The folder of a training command: its name, who may use it, what is in it when the command is stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cpt.host.data import Images, save_images
from cpt.main import main
from cpt.model import checkpoint
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY
from cpt.model.run_folder import LOCK, FolderError, locked
from cpt.run_folder import default_name
from cpt.stopped import resuming

ROOT = Path(__file__).parent.parent
QUICK = ["--steps", "2", "--batch-size", "8", "--cycles", "1", "--seed", "1", "--data", "small.npz"]
# torch 2.13's backward convolution of 4 channels writes beyond its memory on some processors
DEVICES = {"fast": ["--preset", "tiny", "--width", "4"], "cpu": ["--device", "cpu", "--width", "8"]}
TWO_EPOCHS = ["--steps", "0", "--epochs", "2", "--no-compare"]
WAYS_OUT = "allowed: --resume to go on with it, --overwrite to delete it, --run-name NAME for another folder"


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _small(tmp_path_factory, monkeypatch):
    """Twenty images in the current folder: 16 to train, 4 to test."""
    monkeypatch.chdir(tmp_path_factory.mktemp("data"))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1)).astype(np.float32)
    save_images(Path("small.npz"), Images(pixels, np.arange(20) % 2))


def train(device, out, *options):
    return main(["train", *DEVICES[device], *QUICK, *options, "--out", str(out)])


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("device", DEVICES)
def test_runs_are_named_after_data_model_method_and_device(device, tmp_path):
    assert train(device, tmp_path) == 0
    assert train(device, tmp_path, "--fw", "8") == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"small-resnet8-cpt-{device}", f"small-resnet8-static-{device}"}


def test_names_are_made_of_letters_that_names_may_have():
    assert default_name("a/b/my data.npz", "net.py:make", "cpt", "cpu") == "my-data-net.py-make-cpt-cpu"
    assert default_name("folder/", "resnet8", "cpt", "fast") == "folder-resnet8-cpt-fast"
    assert default_name("..", "resnet8", "cpt", "fast") == "..-resnet8-cpt-fast"


@pytest.mark.parametrize("device", DEVICES)
def test_a_used_folder_is_refused_with_three_ways_out(device, tmp_path, capsys):
    assert train(device, tmp_path) == 0
    (folder,) = tmp_path.iterdir()
    before = content(tmp_path)
    capsys.readouterr()
    assert train(device, tmp_path, "--lr", "0.01") == 2
    assert only_line(capsys) == f"cpt train: run folder {folder} holds a finished run; {WAYS_OUT}\n"
    assert content(tmp_path) == before
    (folder / SUMMARY).unlink()
    assert train(device, tmp_path) == 2
    assert f"{folder} holds a started run; {WAYS_OUT}" in only_line(capsys)
    assert train(device, tmp_path, "--run-name", "other") == 0
    assert train(device, tmp_path, "--resume") == 0
    assert content(tmp_path / folder.name) == content(folder)


@pytest.mark.parametrize("device", DEVICES)
def test_overwrite_deletes_the_run_and_its_static_one(device, tmp_path, capsys):
    assert train(device, tmp_path, "--compare") == 0
    (folder,) = tmp_path.iterdir()
    (folder / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert train(device, tmp_path, "--overwrite", "--lr", "0.01", "--json") == 0
    assert json.loads(capsys.readouterr().out)["config"]["lr"] == 0.01
    assert {path.name for path in folder.rglob("*")} == {CHECKPOINT, METRICS, SUMMARY, "notes.txt", "static"}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wrong", [["--fw", "0", "8"], ["--data", "gone.npz"], ["--resume"]])
def test_overwrite_beside_something_wrong_deletes_nothing(device, wrong, tmp_path):
    assert train(device, tmp_path, "--run-name", "a") == 0
    before = content(tmp_path)
    assert train(device, tmp_path, "--run-name", "a", "--overwrite", *wrong) == 2
    assert content(tmp_path) == before


@pytest.mark.parametrize("device", DEVICES)
def test_a_static_run_of_other_settings_is_refused_before_the_first_step(device, tmp_path, capsys):
    assert train(device, tmp_path, "--run-name", "a", "--compare") == 0
    assert train(device, tmp_path, "--run-name", "b", "--lr", "0.01") == 0
    os.rename(tmp_path / "a" / "static", tmp_path / "b" / "static")
    before = content(tmp_path)
    capsys.readouterr()
    assert train(device, tmp_path, "--run-name", "b", "--lr", "0.01", "--compare", "--resume") == 2
    assert "static/checkpoint.npz has lr" in only_line(capsys)
    assert content(tmp_path) == before


def test_two_processes_never_share_a_folder(tmp_path, capsys):
    folder = tmp_path / "a"
    with locked(folder):
        code = (
            "import sys; from pathlib import Path; from cpt.model.run_folder import locked, FolderError\n"
            "try:\n    locked(Path(sys.argv[1])).__enter__()\nexcept FolderError as error:\n    print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert f"{folder} is in use by process {os.getpid()}; allowed: --run-name" in done.stdout
        for device in DEVICES:
            assert train(device, tmp_path, "--run-name", "a", "--overwrite") == 2
            assert "is in use by process" in only_line(capsys)
    assert not folder.exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from cpt.model.run_folder import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a" / LOCK).exists()
    with locked(tmp_path / "a") as held:
        assert held
        with pytest.raises(FolderError), locked(tmp_path / "a"):
            pass


@pytest.mark.parametrize("device", DEVICES)
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before_it(device, tmp_path, capsys):
    length = TWO_EPOCHS + (["--no-check-rtl"] if device == "fast" else [])
    assert train(device, tmp_path, *length, "--json") == 0
    (folder,) = tmp_path.iterdir()
    expected = json.loads(capsys.readouterr().out)["weights_sha256"]
    path = folder / CHECKPOINT
    damage = bytearray(path.read_bytes())
    for place in range(
        len(damage) // 2, len(damage) // 2 + 1000
    ):  # names, dates and padding are not looked at
        damage[place] ^= 1
    path.write_bytes(damage)
    assert train(device, tmp_path, *length, "--resume", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["weights_sha256"] == expected
    assert f"checkpoint {path} is damaged" in printed.err
    assert "going on from the one before it" in printed.err
    assert checkpoint.damaged(path).read_bytes() == bytes(damage)
    assert checkpoint.load(checkpoint.previous(path))[1]["counters"]["step"] == 2


@pytest.fixture
def _terminal():
    """Ctrl-C as at a terminal: in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("device", DEVICES)
def test_a_stopped_command_says_what_was_saved_and_how_to_go_on(
    device, number, tmp_path, capsys, monkeypatch
):
    """The signal comes after the first epoch; the command that is printed then ends the run."""
    from cpt.model.run import Run

    words = ["train", *DEVICES[device], *QUICK, *TWO_EPOCHS, "--out", str(tmp_path), "--overwrite"]
    words += ["--no-check-rtl"] if device == "fast" else []
    real = Run.end_epoch

    def then_signal(self, row):
        real(self, row)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "end_epoch", then_signal)
        assert main(words) == 128 + number
    first, second = capsys.readouterr().err.splitlines()[-2:]
    name = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    path = tmp_path / f"small-resnet8-cpt-{device}" / CHECKPOINT
    assert first == f"cpt train: {name}; saved: step 2 (1 epoch) in {path}; go on with"
    again = [word for word in words if word != "--overwrite"] + ["--resume"]
    assert second.endswith(" ".join(again))
    assert main(again) == 0
    assert len((path.parent / METRICS).read_text().splitlines()) == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("device", DEVICES)
def test_a_command_stopped_before_its_first_checkpoint_says_so_and_starts_again(
    device, tmp_path, capsys, monkeypatch
):
    from cpt.model.run import Run

    def stop(self, row):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "end_epoch", stop)
        assert train(device, tmp_path, "--run-name", "a") == 130
    error = capsys.readouterr().err
    assert "cpt train: interrupted before anything was saved; start again with\n" in error
    assert train(device, tmp_path, "--run-name", "a") == 0


def test_the_command_that_goes_on_is_the_typed_one_with_resume():
    assert resuming(["train", "--lr", "1", "--overw"]) == ["train", "--lr", "1", "--resume"]
    assert resuming(["train", "--res"]) == ["train", "--res"]
    assert resuming(["train", "--automatic_resume"]) == ["train", "--automatic_resume"]


@pytest.mark.parametrize("word", ["--run-name=--", "--out=--", "--lr=--"])
def test_two_dashes_as_a_value_are_one_line(word, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["train", word])
    assert ended.value.code == 2
    assert only_line(capsys).startswith("cpt train: ")
    assert not list(tmp_path.iterdir())
