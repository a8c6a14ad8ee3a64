"""`cpt latency --machine step`: hours of runs by whole steps."""

from __future__ import annotations

import json

import pytest

from cpt.main import main

QUICK = ["latency", "--machine", "step", "--model", "resnet8", "--batch", "4", "--micro-batch", "4", "--json"]


def test_hours_are_those_of_all_lists_of_all_steps(capsys) -> None:
    assert main([*QUICK, "--fw", "8", "--iterations", "1000", "--layers"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["product"] for row in found["products"]] == ["prepare", "forward", "backward", "update"]
    cycles = sum(row["total_cycles"] for row in found["products"])
    (run,) = found["runs"]
    assert run["simulated_hours"] == pytest.approx(1000 * cycles / (found["clock_mhz"] * 1e6) / 3600)
    assert found["array"]["scratch_words"] == 16384
    assert "whole steps" in found["scope"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--machine", "neither"], "machine is 'neither'; allowed: matrix, step"),
        (["--machine", "matrix"], "--micro-batch is given for machine 'matrix'; allowed: step"),
        (["--micro-batch", "3"], "micro-batch is 3; allowed: a divisor of batch-size (4)"),
    ],
)
def test_what_there_is_not_is_refused(options, message, capsys) -> None:
    assert main([*QUICK, *options]) == 2
    assert message in capsys.readouterr().err
