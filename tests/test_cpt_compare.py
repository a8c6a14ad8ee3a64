"""``cpt compare``: cycles of a training step's lists on the RTL and by the forecast."""

import json

import pytest

from cpt.main import main

SMALL = ("--width", "4", "--batch-size", "4")


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.mark.timeout(1800)  # the RTL may have to be built first
def test_every_list_of_a_step_is_within_two_percent(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", "--bits", "3", "8", "--micro-batch", "2", *SMALL)
    status, out, _ = _run(capsys, *words, "--json")
    rows = json.loads(out.splitlines()[-1])
    assert status == 0
    names = ["first forward", "second forward", "first backward", "last backward"]
    assert [row["program"] for row in rows] == names
    for row in rows:
        assert set(row) == {"program", "rtl_cycles", "model_cycles", "error"}
        assert row["error"] == (row["model_cycles"] - row["rtl_cycles"]) / row["rtl_cycles"]
        assert 0 < abs(row["error"]) <= 0.02, row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "huge"), "preset is 'huge'; allowed: zc706, z7020, middle, tiny"),
        (("--micro-batch", "3"), "micro-batch is 3; allowed: a divisor of batch-size (4)"),
        (("--memory", "sram"), "memory model is 'sram'; allowed: ideal, ps-ddr, ps-ddr-low, pl-ddr"),
    ],
)
def test_what_there_is_not_is_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = _run(capsys, "compare", *words, *SMALL)
    assert status == 2
    assert err.splitlines()[-1] == f"cpt compare: {message}"
