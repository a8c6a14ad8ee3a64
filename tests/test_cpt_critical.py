"""`cpt critical`: windows of few bits, compared seed by seed with runs without one."""

import json
import shutil

import pytest
import torch

from cpt.critical import FIGURE, TABLE, _windows
from cpt.main import main
from cpt.paired import interval

WORDS = ("critical", "--width", "4", "--epochs", "4", "--batch-size", "64", "--fw", "1", "8", "--quiet")


@pytest.fixture
def words(tmp_path):
    before = torch.get_num_threads()
    yield [*WORDS, "--lengths", "0.5", "--places", "2", "--seeds", "2", "--out", str(tmp_path)]
    torch.set_num_threads(before)


def test_each_window_is_trained_once_and_compared_by_seed(words, tmp_path, capsys):
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["start"], row["length"]) for row in rows] == [(0, 0), (0, 2), (2, 2)]
    assert all(len(row["values"]) == 2 for row in rows)
    none, early, _ = rows
    gains = [value - other for value, other in zip(early["values"], none["values"], strict=True)]
    assert early["difference"] == pytest.approx(interval(gains))
    assert none["difference"] is None
    history = [
        json.loads(line) for line in (tmp_path / "2-from-0-1" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["fw"] for row in history] == [1, 1, 8, 8]
    assert json.loads((tmp_path / TABLE).read_text())["rows"] == rows
    assert (tmp_path / FIGURE).stat().st_size > 1000
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")}
    assert len(times) == 6
    shutil.rmtree(tmp_path / "2-from-2-0")
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "1 bits in a window of 4 epochs, 8 outside; 2 seeds" in text
    assert all(path.stat().st_mtime_ns == at for path, at in times.items() if "2-from-2-0" not in str(path))
    assert json.loads((tmp_path / TABLE).read_text())["rows"] == rows


def test_windows_reach_from_the_start_to_the_end_and_none_is_twice():
    assert _windows(12, [0.5, 0.25], 3) == [(0, 0), (0, 3), (4, 3), (9, 3), (0, 6), (3, 6), (6, 6)]
    assert _windows(4, [1.0], 3) == [(0, 0), (0, 4)]
    assert _windows(10, [0.01], 1) == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lengths", "1.5"], "cpt critical: lengths is 1.5; allowed: above 0, at most 1\n"),
        (["--places", "0"], "cpt critical: places is 0; allowed: 1..1,000,000\n"),
        (
            ["--fw", "8", "8"],
            "cpt critical: fw is 8; allowed: two different bounds, the bits in the win",
        ),
        (["--data", "nothing"], "cpt critical: data is 'nothing'; allowed: "),
    ],
)
def test_wrong_settings_are_one_line(words, more, message, capsys):
    assert main([*words, *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_runs_of_other_settings_are_refused(words, tmp_path, capsys):
    assert main(words) == 0
    assert main([*words, "--lr", "0.03"]) == 2
    assert "holds a run of other settings; allowed: --out for another folder" in capsys.readouterr().err
