"""`cpt latency`: hours of runs by whole steps."""

from __future__ import annotations

import json

import pytest

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
