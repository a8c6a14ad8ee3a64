"""cpt.sim.step.speed: a step in each simulator, and what it says of them."""

from __future__ import annotations

import json

import pytest

from cpt.sim.step.speed import CYCLES, DATA, RTL, main

pytestmark = pytest.mark.timeout(1800)
"""Seconds: the RTL of tiny may have to be built first."""


def test_each_simulator_has_the_same_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--width", "4", "--wide", "4", "--images", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["simulator"] for row in found["rows"]] == [RTL, DATA, CYCLES]
    for row in found["rows"]:
        assert row["cycles_per_second"] == pytest.approx(found["cycles"] / row["seconds"])
        assert row["ratio"] == pytest.approx(found["rows"][0]["seconds"] / row["seconds"])


def test_an_unknown_preset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--preset", "huge"])
    assert "preset is 'huge'" in capsys.readouterr().err
