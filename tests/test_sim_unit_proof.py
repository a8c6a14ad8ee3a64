"""cpt.sim.unit_proof: what the solver proves about the matrix unit's cells, and what it refuses."""

from __future__ import annotations

import pytest

from cpt.hw.contract import ContractError
from cpt.hw.matrix.compressors import PLANS
from cpt.sim.unit_proof import main, proofs, prove


def test_sums_of_products_and_the_accumulator_are_proven(capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("products", "accumulator", "chain c264"):
        assert main(["--only", part]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "sum of 2 products", "sum of 3 products", "accumulator in the DSP slice", "chain c264",
    ]  # fmt: skip
    assert all(": proven in " in line for line in lines)


def test_every_chain_of_every_plan_has_a_proof() -> None:
    names = {name for name, *_ in proofs()}
    assert {f"chain {atoms}" for plan in PLANS for layer in plan.layers for _, atoms in layer} <= names


def test_a_wrong_bit_in_a_table_is_not_proven() -> None:
    source, top, command = next(item[1:] for item in proofs() if item[0] == "chain c6")
    right = source()
    table = right.partition("64'h")[2][:16]
    wrong = f"{int(table, 16) ^ 1 << 37:016x}"
    with pytest.raises(ContractError, match="proof did fail"):
        prove(right.replace(table, wrong), top, command)


def test_a_name_that_no_proof_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "division"]) == 2
    assert "only is 'division'" in capsys.readouterr().err
