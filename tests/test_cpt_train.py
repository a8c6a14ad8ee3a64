"""``cpt train`` from the command line: outputs, equality of devices, and one line for every wrong input."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cpt.main import COMMANDS, main
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY

ROOT = Path(__file__).parent.parent
NAME = "digits-resnet8-cpt-fast"
QUICK = ["--preset", "tiny", "--width", "4", "--steps", "3", "--batch-size", "16", "--seed", "1"]
REQUIRED = {
    "weights_sha256",
    "accuracy",
    "gbitops",
    "simulated_seconds",
    "clock_mhz",
    "memory_model",
    "array_utilisation",
}


def train(*options, out):
    return main(["train", *QUICK, *options, "--out", str(out)])


def test_json_is_the_last_line_and_equals_the_summary_file(tmp_path, capsys):
    assert train("--json", out=tmp_path) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / NAME / SUMMARY).read_text())
    assert set(printed) >= REQUIRED
    assert printed["memory_model"] == "ps-ddr"
    assert printed["clock_mhz"] == 200


def test_the_table_names_precision_clock_and_memory(tmp_path, capsys):
    assert train("--compare", "--run-name", "both", out=tmp_path) == 0
    text = capsys.readouterr().out
    for expected in ("FW(3,8)/BW8", "FW8/BW8", "difference", "200 MHz", "ps-ddr", "weights sha256: "):
        assert expected in text
    summary = json.loads((tmp_path / "both" / SUMMARY).read_text())
    assert 0 < summary["saving"]["gbitops"] < 1
    assert summary["saving"]["simulated_seconds"] > 0
    static = json.loads((tmp_path / "both" / "static" / SUMMARY).read_text())
    assert static == summary["static"]
    assert static["config"]["fw"] == [8, 8]


def test_resume_ends_with_the_same_weights(tmp_path, capsys):
    assert train("--json", out=tmp_path) == 0
    assert train("--json", "--resume", out=tmp_path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second


WRONG = [
    (["--preset", "huge"], "preset is 'huge'; allowed: zc706, z7020, middle, tiny"),
    (["--fw", "0", "8"], "fw is 0 bits; allowed: 1..16"),
    (["--fw", "3", "17"], "fw is 17 bits; allowed: 1..16"),
    (["--fw", "8", "3"], "fw is 8 3; allowed: the lower bound first, at most the upper one"),
    (["--fw", "3", "5", "8"], "fw is 3 5 8; allowed: one or two bit-widths"),
    (["--bw", "17"], "bw is 17 bits; allowed: 1..16"),
    (["--memory", "sram"], "memory model is 'sram'; allowed: ideal, ps-ddr, ps-ddr-low, pl-ddr"),
    (["--device", "gpu"], "device is 'gpu'; allowed: fast, rtl, board"),
    (["--method", "ldp"], "--method is given for device 'fast'; allowed: cpu, cuda"),
    (["--device", "rtl", "--compile"], "--compile is given for device 'rtl'; allowed: cpu, cuda"),
    (["--swa_start", "4"], "--swa_start is given for device 'fast'; allowed: cpu, cuda"),
    (["--device", "board"], "--preset is given for device 'board'; allowed: fast, rtl"),
    (["--bitfile", "cpt.bit"], "--bitfile is given for device 'fast'; allowed: board"),
    (["--model", "resnet10"], "model is 'resnet10'; allowed: resnetD"),
    (["--batch-size", "5000"], "batch-size is 5000; allowed: 1..1438 (training images)"),
    (["--run-name", "../up"], "run-name is '../up'; allowed: letters, digits"),
    (["--resume", "--run-name", "never"], "checkpoint.npz does not exist"),
    (
        ["--data", "mnist"],
        "data is 'mnist'; allowed: digits, photo-digits, an .npz file, or a folder of class folders",
    ),
    (["--data", "gone.npz"], "images gone.npz cannot be read (No such file or directory)"),
    (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
    (["--colour"], "unrecognized arguments: --colour"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[" ".join(options) for options, _ in WRONG])
def test_wrong_input_gives_one_line_and_status_2(refusal, options, message):
    assert message in refusal(train, options)


def test_a_damaged_checkpoint_gives_one_line_and_stays_as_it_is(tmp_path, capsys):
    assert train(out=tmp_path) == 0
    path = tmp_path / NAME / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.read_bytes()
    capsys.readouterr()
    assert train("--resume", out=tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"checkpoint {path} is damaged" in error
    assert path.read_bytes() == damaged


def test_unknown_commands_are_named(capsys):
    assert main(["trian"]) == 2
    assert "command is 'trian'; allowed: train" in capsys.readouterr().err


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_its_options(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: cpt {name} [-h]")


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert train(out=tmp_path / "file") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "file") in error
    assert "Not a directory" in error


def test_a_disk_that_fills_up_gives_one_line_and_keeps_the_last_good_files(tmp_path):
    """The kernel lets no file grow beyond a limit that fits everything but a checkpoint."""
    limit = 500_000
    done = subprocess.run(
        [sys.executable, "-m", "cpt.main", "train", *QUICK, "--width", "16", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("cpt train: cannot write ")
    assert "Traceback" not in done.stderr
    names = {path.name: path.stat().st_size for path in (tmp_path / NAME).iterdir()}
    assert set(names) == {METRICS}
    lines = (tmp_path / NAME / METRICS).read_text().splitlines()
    assert all(json.loads(text)["run"] == "cpt" for text in lines)
