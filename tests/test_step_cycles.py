"""`cpt.sim.step.compare`: the model's cycles of a step are the RTL's within 2 %."""

from __future__ import annotations

import pytest

from cpt.host.compiler.network import LAST_BACKWARD, ONLY_FORWARD
from cpt.hw.contract import preset
from cpt.hw.contract.step import Engine
from cpt.sim.step import TOLERANCE
from cpt.sim.step.compare import Compared, compared, main
from cpt.sim.step.rtl import Case

pytestmark = pytest.mark.timeout(1800)
"""Seconds: the first test may have to wait for the RTL that another file builds."""


@pytest.fixture(scope="module", params=[(4, 8), (16, 64)], ids=["narrow", "wide"])
def step(request: pytest.FixtureRequest) -> list[Compared]:
    """Lists of a network of few channels, and of one whose weights keep the float engine and PACK busy."""
    case = Case(*request.param, 2, 1, (3, 8), before=0, steps=1, stall=0.0, seed=4)
    return compared(preset("tiny", "step"), "ps-ddr", case)


def test_a_step_takes_the_rtls_cycles(step: list[Compared]) -> None:
    assert [found.seen.name for found in step] == [ONLY_FORWARD, LAST_BACKWARD]
    for found in step:
        assert abs(found.difference) <= 100 * TOLERANCE, found.seen.name
    seen = sum(found.seen.cycles for found in step)
    assert sum(found.timing.cycles for found in step) == pytest.approx(seen, rel=TOLERANCE)


def test_the_rows_say_what_an_instruction_waited_for(step: list[Compared]) -> None:
    drains = []
    for found in step:
        rows = list(found.rows())
        assert len(rows) == len(found.seen.instructions)
        drains += [row for row in rows if row.split()[1] == "DRAIN"]
    assert drains
    waited = {row.split()[-1] for row in drains}
    assert {"EXEC", "FLOAT"} <= waited <= {engine.name for engine in Engine}


def test_an_unknown_preset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--preset", "huge"])
    assert stopped.value.code == 2
    assert "preset is 'huge'" in capsys.readouterr().err
