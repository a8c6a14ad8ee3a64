"""cpt.sim.unit_equality: the matrix unit from cells does what the portable one does."""

from __future__ import annotations

import pytest

from cpt.sim.cells.models import HERE, MODELS
from cpt.sim.tool import BuildError
from cpt.sim.unit_equality import compare, main


def test_both_forms_give_the_same_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--word-bits", "36", "--cycles", "200000", "--seed", "7"]) == 0
    assert "199993 results compared, the largest 2^47" in capsys.readouterr().out


def test_a_double_with_a_subtraction_is_refused_by_the_slices_model() -> None:
    with pytest.raises(BuildError, match=r"DSP48E1: OPMODE 0101110 with ALUMODE 0011"):
        compare(36, 1000, 1, forbidden=True)


def test_every_primitive_has_a_model() -> None:
    assert sorted(path.stem for path in MODELS) == ["CARRY4", "DSP48E1", "FDRE", "LUT6", "LUT6_2"]
    assert all(f"module {path.stem} " in path.read_text() for path in HERE.glob("*.v"))


def test_a_word_without_a_plan_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--word-bits", "200", "--cycles", "10"]) == 2
    assert "word_bits is 200; allowed: 1 to 144" in capsys.readouterr().err
