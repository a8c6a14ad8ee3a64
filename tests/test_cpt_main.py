"""cpt.main: versions, pipes, faults of ``cpt`` itself, numbers that are none, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpt import __version__, bits
from cpt.main import COMMANDS, main

ROOT = Path(__file__).parent.parent
PYTHON = {**os.environ, "PYTHONPATH": str(ROOT)}


def child(*words):
    command = [sys.executable, "-m", "cpt.main", *words]
    return subprocess.run(command, env=PYTHON, text=True, capture_output=True, timeout=300, check=False)


def refused(capsys, *words):
    """The one line on standard error."""
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1
    return captured.err


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == main(["-V"]) == 0
    assert capsys.readouterr().out == f"cpt {__version__}\n" * 2


def test_a_reader_that_leaves_is_no_error():
    """As in ``cpt bits | head``."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cpt.main", "bits"]
    done = subprocess.run(command, env=PYTHON, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "cpt.main", "bits"]
        done = subprocess.run(
            command, env=PYTHON, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_fault_of_cpt_is_one_line_that_asks_for_a_report(capsys, monkeypatch):
    def fault(arguments):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(bits, "run", fault)
    assert main(["bits"]) == 70
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in error
    assert "--traceback" in error
    with pytest.raises(ZeroDivisionError):
        main(["bits", "--traceback"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bits", "--total", "1" + "0" * 20], "--total: value has more than 64 bits"),
        (["bits", "--total", "1000000000000"], "total is 1000000000000; allowed: 1..1,000,000"),
        (["bits", "--cycles", "99999999"], "cycles is 99999999; allowed"),
        (["bitops", "--total", "1000000000000"], "total is 1000000000000; allowed: 1..1,000,000"),
        (["bitops", "resnet999999998"], "allowed"),
        (["latency", "--iterations", "1000000000000"], "iterations is 1000000000000; allowed"),
        (["latency", "--batch", "1000000000000"], "batch is 1000000000000; allowed"),
        (["latency", "--model", "resnet999998"], "allowed"),
        (["train", "--lr", "nan"], "--lr: value is nan; allowed: finite numbers"),
        (["train", "--momentum", "1e999"], "--momentum: value is inf"),
        (["bits", "--figure", "a\0b.png"], "holds the character NUL"),
        (["bench", "step", "--batch", "100000000"], "batch is 100000000; allowed"),
        (["bits", "--total", "9" * 5000], "invalid int value"),
    ],
)
def test_numbers_that_no_machine_could_serve_are_refused(capsys, words, expected):
    assert expected in refused(capsys, *words)


def test_completion_knows_every_command_and_option():
    done = child("completion", "bash")
    assert done.returncode == 0
    probe = (
        done.stdout
        + 'COMP_WORDS=(cpt bits --f); COMP_CWORD=2; _cpt; echo "${COMPREPLY[@]}"\n'
        + 'COMP_WORDS=(cpt ""); COMP_CWORD=1; _cpt; echo "${COMPREPLY[@]}"\n'
    )
    answer = subprocess.run(["bash", "-c", probe], text=True, capture_output=True, timeout=60, check=True)
    assert answer.stdout.splitlines() == ["--figure --fw", " ".join([*COMMANDS, "--help", "--version"])]
    assert answer.stderr == ""


def test_a_shell_without_completion_is_refused(capsys):
    assert "shell is 'fish'; allowed: bash, zsh" in refused(capsys, "completion", "fish")


def test_a_figure_says_which_folders_it_made(capsys, tmp_path):
    path = tmp_path / "a" / "b" / "schedule.png"
    assert main(["bits", "--figure", str(path)]) == 0
    captured = capsys.readouterr()
    assert f"figure: {path}" in captured.out
    assert f"folder made: {tmp_path / 'a' / 'b'}" in captured.err
    assert main(["bits", "--figure", str(path)]) == 0
    assert "folder made" not in capsys.readouterr().err


def test_a_word_behind_an_option_without_value_is_named_with_the_option(capsys):
    """As ``--resume PATH`` of the public code."""
    line = refused(capsys, "train", "--resume", "logs/run")
    assert "argument --resume" in line
    assert "--out, --run-name" in line
    assert line.endswith("it takes no value, 'logs/run' is given\n")
