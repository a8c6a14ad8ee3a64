"""`cpt latency`: hours of runs by whole steps."""

from __future__ import annotations

import json

import pytest

from cpt import latency_paper
from cpt.main import main

QUICK = ["latency", "--model", "resnet8", "--batch", "4", "--micro-batch", "4", "--json"]


def test_hours_are_those_of_all_lists_of_all_steps(capsys) -> None:
    assert main([*QUICK, "--fw", "8", "--iterations", "1000", "--layers"]) == 0
    found = json.loads(capsys.readouterr().out)
    cycles = sum(row["cycles"] for row in found["layers"])
    (run,) = found["runs"]
    assert run["simulated_hours"] == pytest.approx(1000 * cycles / (found["clock_mhz"] * 1e6) / 3600)
    assert found["array"]["scratch_words"] == 16384
    assert "whole steps" in found["scope"]
    assert (found["clock_mhz"], found["memory_model"]) == (200.0, "ps-ddr")


def test_a_cyclic_run_is_shorter_than_a_static_one(capsys) -> None:
    assert main([*QUICK, "--fw", "3", "8", "--iterations", "320"]) == 0
    found = json.loads(capsys.readouterr().out)
    cyclic, static = found["runs"]
    assert 0 < cyclic["simulated_hours"] < static["simulated_hours"]
    assert found["saving"]["gbitops"] == pytest.approx(1 - cyclic["gbitops"] / static["gbitops"])


def test_a_step_is_told_by_layer_and_pass(capsys) -> None:
    assert main([*QUICK, "--fw", "3", "8", "--bw", "6", "--layers"]) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert {(row["fw"], row["bw"]) for row in rows} == {(3, 6), (8, 6)}
    at_8 = {(row["layer"], row["pass"]): row for row in rows if row["fw"] == 8}
    layers = {layer for layer, which in at_8 if which == "forward"}
    assert len(layers) == 9
    assert {layer for layer, which in at_8 if which == "dW"} == layers
    assert layers - {layer for layer, which in at_8 if which == "dX"} == {"stem.conv"}
    assert {row["bound"] for row in rows} <= {"array", "vector", "channel unit", "DRAM", "control"}
    assert at_8["prepare", "all"]["utilisation"] == 0
    for layer, which in at_8:
        row = at_8[layer, which]
        assert row["cycles"] >= 0
        assert 0 <= row["utilisation"] <= 1
        assert row["bytes"] > 0
    dw_bytes = {row["fw"]: row["bytes"] for row in rows if (row["layer"], row["pass"]) == ("stem.conv", "dW")}
    assert dw_bytes[3] < dw_bytes[8], "LOAD_E and FETCH_X are counted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "vgg"], "model is 'vgg'; allowed: resnetD"),
        (["--micro-batch", "3"], "micro-batch is 3; allowed: a divisor of batch-size (4)"),
    ],
)
def test_what_there_is_not_is_refused(options, message, capsys) -> None:
    assert main([*QUICK, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def small_paper(monkeypatch):
    """A paper of one small network."""
    runs = ((8, 8), 8), ((7, 8), 8)
    monkeypatch.setattr(latency_paper, "RUNS", {"resnet8": runs})
    monkeypatch.setattr(latency_paper, "PUBLISHED", {("resnet8", runs[0]): 44.6})
    monkeypatch.setattr(latency_paper, "PAPER_BATCH", 4)
    monkeypatch.setattr(latency_paper, "PAPER_ITERATIONS", 640)


def test_the_papers_runs_go_on_where_they_were_stopped(small_paper, tmp_path, monkeypatch, capsys) -> None:
    words = ["latency", "--paper", "--out", str(tmp_path), "--micro-batch", "4", "--quiet", "--json"]
    together, seen = latency_paper.WholeSteps.together, []

    def stopped(steps, precisions):
        if seen:
            raise KeyboardInterrupt
        seen.extend(precisions)
        together(steps, precisions)

    monkeypatch.setattr(latency_paper.WholeSteps, "together", stopped)
    assert main(words) != 0
    assert len(json.loads((tmp_path / latency_paper.STEPS).read_text())["steps"]) == 1
    monkeypatch.setattr(latency_paper.WholeSteps, "together", lambda *_: seen.append(_[1][0]))
    capsys.readouterr()
    assert main(words) == 0
    assert seen == [(8, 8), (7, 8)]
    rows = json.loads(capsys.readouterr().out)["rows"]
    static, cyclic = rows
    assert [(row["fw"], row["bw"]) for row in rows] == [([8, 8], 8), ([7, 8], 8)]
    assert (static["published_hours"], cyclic["published_hours"]) == (44.6, None)
    assert cyclic["saving"] == pytest.approx(1 - cyclic["hours"] / static["hours"])
    assert 0 < cyclic["saving"] < cyclic["saving_bits"] < 0.2
    for row in rows:
        parts = [row[f"hours_{part}"] for part in ("array", "memory", "vector", "channel")]
        assert all(0 < part < row["hours"] for part in parts)
    assert main([*words[:-1]]) == 0
    table = capsys.readouterr().out
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "44.6" in table


def test_what_is_kept_is_of_this_software_and_machine_alone(small_paper, tmp_path, capsys) -> None:
    (tmp_path / latency_paper.STEPS).write_text(
        json.dumps({"key": "another", "steps": {"resnet8 8 x 8": {}}})
    )
    words = ["latency", "--paper", "--out", str(tmp_path), "--micro-batch", "4", "--quiet", "--json"]
    assert main(words) == 0
    assert all(row["hours"] > 0 for row in json.loads(capsys.readouterr().out)["rows"])


def test_another_network_than_the_papers_is_refused(capsys) -> None:
    assert main(["latency", "--paper", "--models", "resnet14"]) == 2
    assert "model is 'resnet14'; allowed: resnet20, resnet38" in capsys.readouterr().err
