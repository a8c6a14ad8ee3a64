"""cpt.model.json_files and those who read with it: a damaged file is one line that names it."""

import json
import os

import pytest
from test_model_figures import write_run

from cpt.main import main
from cpt.model.json_files import read_object

DAMAGED = {
    "empty": b"",
    "cut": b'{"a": [1, 2',
    "array": b"[1]",
    "latin": b'{"a": "\xe9"}',
    "nan": b'{"a": NaN}',
    "deep": b'{"a": ' + b"[" * 200_000,
    "nul": b"\0" * 64,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_one_line_that_names_the_file(tmp_path, kind):
    path = tmp_path / "summary.json"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(ValueError, match=str(path)) as caught:
        read_object(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, reason in (
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
        ("gone", "no such file"),
    ):
        with pytest.raises(ValueError, match=reason):
            read_object(tmp_path / name)


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl"])
def test_a_report_of_damaged_runs_is_one_line(tmp_path, capsys, name, kind):
    write_run(tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(DAMAGED[kind])
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "run" / name) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("summary.json", "config", []),
        ("summary.json", "config", {"fw": 8}),
        ("summary.json", "gbitops", [1]),
        ("summary.json", "gbitops", 1e400),
        ("summary.json", "dataset", None),
        ("summary.json", "metric", {"a": 1}),
        ("metrics.jsonl", "accuracy", [0.5]),
        ("metrics.jsonl", "accuracy", {"nested": 1}),
        ("metrics.jsonl", "epoch", 1e400),
        ("metrics.jsonl", "fw", None),
        ("metrics.jsonl", "bw", "eight"),
    ],
)
def test_fields_of_other_kinds_are_one_line(tmp_path, capsys, name, field, value):
    write_run(tmp_path / "run")
    path = tmp_path / "run" / name
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), field: value}), *rest]) + "\n")
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_of_measured_times_is_one_line(tmp_path, capsys, kind):
    path = tmp_path / "measured.json"
    path.write_bytes(DAMAGED[kind])
    assert main(["compare", "--measured", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_manifest_is_one_line(tmp_path, capsys, kind):
    (tmp_path / "manifest.json").write_bytes(DAMAGED[kind])
    assert main(["package", "--bitstream", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "manifest.json" in error
