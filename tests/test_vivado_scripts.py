"""The Vivado scripts under the stand-in: they deliver a good design and refuse everything else by name."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.board import BOARDS, Board, board
from cpt.hw.contract.config import STEP
from cpt.hw.contract.handoff import hwh
from cpt.hw.contract.render import PAGES
from cpt.hw.export import export
from cpt.hw.vivado.build import (
    DELIVERED,
    SCRIPTS,
    BuildError,
    check_manifest,
    require_vivado,
    write_manifest,
)
from cpt.hw.vivado.settings import Build, settings_tcl
from cpt.sim.verilator import exported
from cpt.sim.vivado.checks.documents import document_problems
from cpt.sim.vivado.checks.handoff import handoff_problems
from cpt.sim.vivado.checks.ipxact import component_problems
from cpt.sim.vivado.checks.lint import lint_problems
from cpt.sim.vivado.checks.ports import port_problems
from cpt.sim.vivado.checks.scripts import BAD_DESIGNS, run_build, script_problems
from cpt.sim.vivado.standin import Scenario, ScriptError, Session, run_script
from cpt.sim.vivado.standin.scenario import VERSIONS


@pytest.fixture(scope="module")
def verilog() -> Path:
    """The exported design of the tiny array, which the RTL tests have too: the boards' modules and ports."""
    config = preset("tiny", STEP)
    (path,) = exported(f"verilog/tiny-step-{config.scratch_words}", config, export)
    return path


@pytest.fixture(params=list(BOARDS))
def target(request: pytest.FixtureRequest) -> Board:
    return dataclasses.replace(board(request.param), preset="tiny")


def _build(target: Board, verilog: Path, folder: Path) -> Build:
    build = Build(target, target.clock_mhz, verilog, folder)
    (folder / "settings.tcl").write_text(settings_tcl(build))
    return build


@pytest.fixture
def build(target: Board, verilog: Path, tmp_path: Path) -> Build:
    return _build(target, verilog, tmp_path)


@pytest.fixture
def zc706(verilog: Path, tmp_path: Path) -> Build:
    return _build(dataclasses.replace(board("zc706"), preset="tiny"), verilog, tmp_path)


def _edited_scripts(folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of the scripts in which ``old`` of one file reads ``new``."""
    copy = folder / "scripts"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__", "standin", "checks"))
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new))
    return copy


def test_a_good_design_is_delivered_with_reports_handoff_and_manifest(build: Build) -> None:
    assert script_problems(build) == []
    assert component_problems(build.output / "work" / "ip" / "component.xml") == []
    assert handoff_problems(build.output / "cpt.hwh", build.board, build.clock_mhz) == []
    manifest = write_manifest(build)
    check_manifest(manifest)
    assert '"setup_slack_ns": "0.214"' in manifest.read_text()


def test_exported_ports_and_lint_have_no_problem(verilog: Path) -> None:
    assert port_problems(verilog) == []
    assert lint_problems(verilog) == []


def test_sample_handoff_equals_the_contract_in_pynq(target: Board, tmp_path: Path) -> None:
    config = preset("tiny")
    path = tmp_path / "cpt.hwh"
    path.write_text(hwh(config, board=target), encoding="utf-8")
    assert handoff_problems(path, target, config.clock_mhz) == []


@pytest.mark.parametrize("expected", BAD_DESIGNS)
def test_the_gate_refuses_and_delivers_nothing(zc706: Build, expected: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(expected)):
        run_build(zc706, BAD_DESIGNS[expected])
    assert not (zc706.output / "cpt.bit").exists()


@pytest.mark.parametrize(
    "text",
    [
        "[PSU-1]  Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_0 has negative value -0.050 . PS DDR "
        "interfaces might fail when entering negative DQS skew values. ",
        "[Common 17-741] No write access right to the local Tcl store at '/builder/.Xilinx'.",
    ],
)
def test_a_critical_warning_with_a_reason_is_waived(zc706: Build, text: str) -> None:
    run_build(zc706, Scenario(critical=(text,)))
    assert (zc706.output / "cpt.bit").exists()


def test_what_an_earlier_build_left_is_gone(zc706: Build) -> None:
    stale = zc706.output / "work" / "ip" / "src" / "old.v"
    stale.parent.mkdir(parents=True)
    stale.touch()
    run_build(zc706)
    assert not stale.exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failed_run_is_named_with_its_log(zc706: Build, version: str) -> None:
    with pytest.raises(
        ScriptError, match=r"run impl_1 ended with place_design ERROR; see .*impl_1/runme\.log"
    ):
        run_build(zc706, Scenario(failing_run="impl_1", version=version))


def test_a_renamed_port_is_named(verilog: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "cpt_accelerator.v"
    renamed.write_text(re.sub(r"\bm0_axi_araddr\b", "m0_axi_readaddr", verilog.read_text()))
    problems = port_problems(renamed)
    assert "port m0_axi_araddr is missing in cpt_accelerator" in problems
    assert "port m0_axi_readaddr of cpt_accelerator is not in the contract" in problems


def test_a_port_without_its_attributes_is_named(verilog: Path, tmp_path: Path) -> None:
    bare = tmp_path / "cpt_accelerator.v"
    bare.write_text(verilog.read_text().replace("POLARITY ACTIVE_HIGH", "POLARITY ACTIVE_LOW"))
    assert [line.split(" has ")[0] for line in port_problems(bare)] == ["port rst"]


def test_a_reset_of_the_wrong_polarity_stops_the_scripts(zc706: Build, tmp_path: Path) -> None:
    text = zc706.verilog.read_text().replace("POLARITY ACTIVE_HIGH", "POLARITY ACTIVE_LOW")
    other = tmp_path / "cpt_accelerator.v"
    other.write_text(text)
    build = _build(zc706.board, other, tmp_path)
    with pytest.raises(ScriptError, match=r"peripheral_reset \(rst high\) and .*/rst \(rst low\) do not fit"):
        run_build(build)


def test_a_changed_register_without_regenerated_pages_is_named(tmp_path: Path) -> None:
    for page in PAGES:
        shutil.copy(Path("docs") / page, tmp_path / page)
    assert document_problems(tmp_path) == []
    changed = tmp_path / "registers.md"
    changed.write_text(changed.read_text().replace("0x054", "0x058"))
    assert document_problems(tmp_path) == [f"{changed} is stale: the contract changed; run make docs"]


def test_a_bitstream_of_another_contract_is_named(zc706: Build) -> None:
    run_build(zc706)
    manifest = write_manifest(zc706)
    text = manifest.read_text()
    manifest.write_text(re.sub(r'(?<="contract_hash": ")\w+', "0123456789abcdef", text))
    with pytest.raises(ContractError, match="has contract 0123456789abcdef, this software"):
        check_manifest(manifest)


def test_a_clock_out_of_reach_is_refused_before_anything_runs(verilog: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"clock is 180 MHz; allowed on zc706: .* 166\.667"):
        Build(board("zc706"), 180.0, verilog, tmp_path)


def test_a_clock_the_processor_does_not_reach_stops_the_scripts(zc706: Build) -> None:
    path = zc706.output / "settings.tcl"
    path.write_text(path.read_text().replace("clock_mhz 200", "clock_mhz 180"))
    with pytest.raises(ScriptError, match=r"dividers give FCLK0 166\.666667 MHz; allowed: 180"):
        run_script(SCRIPTS / "build.tcl", [str(path)], Session(zc706))


def test_a_handoff_with_another_clock_or_address_is_named(zc706: Build) -> None:
    run_build(zc706)
    path = zc706.output / "cpt.hwh"
    assert handoff_problems(path, zc706.board, 100.0) == [
        "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ is 200; allowed: 100",
        "FCLK0 is 200 MHz; allowed: 100 MHz",
    ]
    text = path.read_text()
    path.write_text(text.replace("0x43C00000", "0x43C10000").replace("0x43C00FFF", "0x43C10FFF"))
    assert handoff_problems(path, zc706.board, 200.0) == ["register base is 0x43c10000; allowed: 0x43c00000"]
    path.write_text(re.sub(r'<CONNECTION INSTANCE="\w+" PORT="(IRQ_F2P|irq)" />', "", text))
    assert handoff_problems(path, zc706.board, 200.0) == [
        "end of irq is nothing; allowed: processing_system7_0/IRQ_F2P"
    ]


def test_a_handoff_with_the_reference_of_another_board_is_named(zc706: Build) -> None:
    """What Vivado writes when a PYNQ-Z2's processor is left at its defaults."""
    run_build(zc706)
    path = zc706.output / "cpt.hwh"
    path.write_text(path.read_text().replace('VALUE="33.333333"', 'VALUE="50"'))
    assert handoff_problems(path, zc706.board, 200.0) == [
        "PCW_CRYSTAL_PERIPHERAL_FREQMHZ is 50; allowed: 33.3333"
    ]


def test_another_clock_reaches_the_handoff(verilog: Path, tmp_path: Path) -> None:
    target = dataclasses.replace(board("zc706"), preset="tiny")
    build = Build(target, 125.0, verilog, tmp_path)
    (tmp_path / "settings.tcl").write_text(settings_tcl(build))
    run_build(build)
    assert handoff_problems(tmp_path / "cpt.hwh", target, 125.0) == []


def test_the_interpreter_inside_python_does_as_well(zc706: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.setattr("cpt.sim.vivado.standin.interpreter.shutil.which", lambda name: None)
    assert script_problems(zc706) == []
    with pytest.raises(ScriptError, match="setup slack is -1"):
        run_build(zc706, Scenario(setup_slack_ns=-1))


def test_a_machine_without_tcl_gets_one_line(zc706: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cpt.sim.vivado.standin.interpreter.shutil.which", lambda name: None)
    monkeypatch.setattr("cpt.sim.vivado.standin.interpreter.importlib.util.find_spec", lambda name: None)
    assert script_problems(zc706) == [
        "no Tcl interpreter; allowed: tclsh on PATH (package tcl) or a Python with tkinter"
    ]


def test_an_unknown_command_is_named_with_its_place(zc706: Build, tmp_path: Path) -> None:
    scripts = _edited_scripts(tmp_path, "design.tcl", "validate_bd_design", "validate_bd_desing")
    with pytest.raises(ScriptError, match=r"unknown command validate_bd_desing .*cpt::build_design"):
        run_build(zc706, scripts=scripts)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("design.tcl", "CONFIG.PCW_USE_S_AXI_HP2 1", "CONFIG.PCW_USE_S_AXI_HP4 1", "PCW_USE_S_AXI_HP4"),
        (
            "design.tcl",
            "axi_interconnect:2.1",
            "axi_interconnect:3.0",
            "no IP xilinx.com:ip:axi_interconnect:3.0",
        ),
        ("design.tcl", "reset_0/peripheral_reset]", "reset_0/peripheral_aresetn]", "do not fit"),
        ("design.tcl", "save_bd_design\n", "save_bd_design -all\n", "unknown option -all"),
        (
            "design.tcl",
            "    connect_bd_net [get_bd_pins $ip/irq] [get_bd_pins $ps/IRQ_F2P]\n",
            "",
            "IRQ_F2P is not",
        ),
        ("implement.tcl", "Flow_AreaOptimized_high", "Flow_Fastest", "'Flow_Fastest'"),
        ("implement.tcl", "    open_run impl_1\n", "", "no run is open"),
        ("package.tcl", "get_property $property", "get_property ${property}_type", "no property"),
    ],
)
def test_a_mistake_in_the_scripts_is_named(
    zc706: Build, tmp_path: Path, file: str, old: str, new: str, expected: str
) -> None:
    with pytest.raises(ScriptError, match=re.escape(expected)):
        run_build(zc706, scripts=_edited_scripts(tmp_path, file, old, new))


@pytest.mark.parametrize("block", ["reg0", "Reg", ""])
@pytest.mark.parametrize("spaces", [True, False])
def test_the_scripts_work_whatever_the_packager_infers(zc706: Build, block: str, spaces: bool) -> None:
    """Names of address blocks and inferred address spaces differ between versions."""
    run_build(zc706, Scenario(inferred_block=block, infers_spaces=spaces))
    component = (zc706.output / "work" / "ip" / "component.xml").read_text()
    assert component.count("<spirit:range>4G</spirit:range>") == 2
    assert component.count("addressSpaceRef=") == 2


def test_a_master_without_address_space_fails_the_packaged_ip(zc706: Build, tmp_path: Path) -> None:
    scripts = _edited_scripts(tmp_path, "package.tcl", "    cpt::describe_memory $core\n", "")
    with pytest.raises(ScriptError, match="the packaged IP fails ipx::check_integrity"):
        run_build(zc706, Scenario(infers_spaces=False), scripts)


def test_overlapping_addresses_are_named(zc706: Build) -> None:
    path = zc706.output / "settings.tcl"
    path.write_text(path.read_text().replace("base 0x43C00000", "base 0x3FFFF000"))
    expected = r"s_axil/reg0 at 0x3ffff000\.\.0x3fffffff overlaps the processor's DDR at 0x0\.\.0x3fffffff"
    with pytest.raises(ScriptError, match=expected):
        run_script(SCRIPTS / "build.tcl", [str(path)], Session(zc706))


def test_a_register_outside_its_block_fails_the_packaged_ip(zc706: Build) -> None:
    path = zc706.output / "settings.tcl"
    path.write_text(path.read_text().replace("offset 0x54 ", "offset 0x1054 "))
    with pytest.raises(ScriptError, match="the packaged IP fails ipx::check_integrity"):
        run_script(SCRIPTS / "build.tcl", [str(path)], Session(zc706))
    assert "register WATCHDOG at 0x1054 lies outside 4096 bytes" in zc706.log.read_text()


def test_two_registers_at_one_address_fail_the_packaged_ip(zc706: Build) -> None:
    path = zc706.output / "settings.tcl"
    path.write_text(path.read_text().replace("offset 0x54 ", "offset 0x50 "))
    with pytest.raises(ScriptError, match="the packaged IP fails ipx::check_integrity"):
        run_script(SCRIPTS / "build.tcl", [str(path)], Session(zc706))
    assert "registers DONE_TAG and WATCHDOG overlap at 0x50" in zc706.log.read_text()


def test_memory_beyond_the_board_is_named(zc706: Build) -> None:
    path = zc706.output / "settings.tcl"
    path.write_text(path.read_text().replace("bytes 0x40000000", "bytes 0x80000000"))
    with pytest.raises(ScriptError, match="HP0_DDR_LOWOCM ends at 0x80000000; the board has 0x40000000"):
        run_script(SCRIPTS / "build.tcl", [str(path)], Session(zc706))


def test_an_incomplete_build_gets_no_manifest(zc706: Build) -> None:
    run_build(zc706)
    (zc706.output / DELIVERED[1]).unlink()
    with pytest.raises(BuildError, match=r"left out cpt\.hwh"):
        write_manifest(zc706)


def test_a_machine_without_vivado_gets_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"vivado is not on PATH; allowed: Vivado 2020\.1 or later"):
        require_vivado()
