"""What ``cpt`` prints fits 80 columns, and a file gets no carriage return."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpt.main import COMMANDS, main

ROOT = Path(__file__).parent.parent
HELP = [[name, "--help"] for name in COMMANDS]
SHOWN = [
    ["--help"],
    ["--version"],
    ["completion", "nothing"],
    *(
        ["bits", *words]
        for words in (
            [],
            ["--shape", "up_down"],
            ["--shape", "rex_horizontal"],
            ["--shape", "cosine_anneal"],
            ["--shape", "progressive"],
            ["--shape", "random", "--every", "4"],
            ["--fw", "8"],
            ["--fw", "1", "16", "--bw", "2", "16", "--total", "1000"],
            ["--total", "64000"],
            ["--start", "80"],
            ["--cycles", "1"],
            ["--total", "7", "--cycles", "7"],
        )
    ),
    *(
        ["bitops", *words]
        for words in (
            [],
            ["--paper"],
            ["--layers"],
            ["mobilenetv2"],
            ["mobilenetv2", "--layers"],
            ["resnet18"],
            ["resnet50", "--layers"],
            ["resnet164", "--fw", "16", "--bw", "16"],
            ["--samples", "1000000000000000"],
        )
    ),
    ["doctor"],
    ["doctor", "--preset", "z7020"],
    ["latency", "--model", "resnet8", "--iterations", "64"],
    ["latency", "--model", "resnet8", "--iterations", "64", "--layers", "--fw", "8"],
    ["trace", "--preset", "tiny", "--width", "4", "--size", "8"],
]
WRONG = [
    ["nothing"],
    ["bits", "--fw", "8", "3"],
    ["bits", "--shape", "square"],
    ["bits", "--fw", "three"],
    ["bitops", "vgg"],
    ["bitops", "--samples", "0"],
    ["latency", "--memory", "fast"],
    ["roofline", "--bits", "9x9"],
    ["roofline", "--memory", "fast"],
    ["explore", "--part", "none"],
    ["explore", "--group", "12"],
    ["latency", "--preset", "huge"],
    ["trace", "--list", "sideways"],
    ["trace", "--device", "board"],
    ["train", "--device", "abacus"],
    ["train", "--data", "nothing.npz"],
    ["train", "--device", "cpu", "--preset", "tiny"],
    ["train", "--fw", "1", "2", "3"],
    ["train", "--lr", "nan"],
    ["compare", "--measured", "nothing.json"],
    ["report", "nothing"],
    ["report", "--format", "gif"],
    ["landscape", "nothing"],
    ["export", "nothing"],
    ["bench", "walk"],
    ["bench", "step", "--device", "tpu"],
    ["bitstream", "--board", "none"],
    ["package", "--board", "none"],
    ["doctor", "--device", "abacus"],
    ["range-test", "--bits", "8", "2"],
]


@pytest.fixture(autouse=True)
def _place(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def output(capsys, words):
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert "\r" not in captured.out + captured.err
    assert "Traceback" not in captured.err
    return status, captured


def test_there_are_sixty_outputs():
    assert len(HELP) + len(SHOWN) + len(WRONG) >= 60


@pytest.mark.parametrize("words", [*HELP, *SHOWN], ids=" ".join)
def test_no_line_is_wider_than_80_columns(words, capsys):
    status, captured = output(capsys, words)
    assert status == (2 if "nothing" in words else 0)
    assert captured.out or captured.err
    wide = [line for line in captured.out.splitlines() if len(line) > 80]
    assert not wide, "\n".join(wide)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_error_is_one_line_and_nothing_else(words, capsys, tmp_path):
    status, captured = output(capsys, words)
    assert status == 2
    assert captured.out == ""
    assert captured.err.startswith("cpt")
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["fast", "cpu"])
def test_a_run_into_files_has_plain_lines_of_80_columns(device, tmp_path):
    words = [
        "train",
        "--device",
        device,
        "--epochs",
        "2",
        "--cycles",
        "1",
        "--width",
        "4",
        "--batch-size",
        "256",
    ]
    words += ["--no-compare", *([] if device == "cpu" else ["--no-check-rtl"])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    out, errors = tmp_path / "out", tmp_path / "errors"
    with out.open("wb") as first, errors.open("wb") as second:
        command = [sys.executable, "-m", "cpt.main", *words]
        done = subprocess.run(command, env=environment, stdout=first, stderr=second, timeout=300, check=False)
    assert done.returncode == 0, errors.read_text()
    for path in (out, errors):
        assert b"\r" not in path.read_bytes()
        assert all(len(line) <= 80 for line in path.read_text().splitlines()), path.read_text()
    assert sum("accuracy" in line for line in errors.read_text().splitlines()) == 2
