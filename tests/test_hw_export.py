"""cpt.hw.export: Verilog with the agreed names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cpt.hw.contract import CONTRACT_HASH, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.hw.contract.ports import PORTS, TOP
from cpt.hw.export import accelerator_verilog, export, export_block, unit_verilog
from cpt.hw.export.blocks import BLOCKS
from cpt.hw.matrix.unit import FORMS

TINY = preset("tiny")


def ports_of(verilog: str, module: str) -> dict[str, str]:
    """Port name to direction of a module."""
    start = verilog.index(f"module {module}(")
    body = verilog[start : verilog.index("endmodule", start)]
    return {
        name: kind
        for kind, name in re.findall(r"^\s*(input|output)\s+(?:\[[^]]*\]\s*)?(\w+)\s*;", body, re.M)
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported tiny accelerator."""
    path = tmp_path_factory.mktemp("verilog")
    export(TINY, path, build_id=7)
    return path


@pytest.fixture(scope="module")
def verilog(folder: Path) -> str:
    return (folder / f"{TOP}.v").read_text()


def test_the_top_has_exactly_the_ports_of_the_contract(folder: Path, verilog: str) -> None:
    found = ports_of(verilog, TOP)
    assert set(found) == {name for name in PORTS if not re.match("m1_axi_(aw|w|b)", name)}
    masters = {name: kind for name, kind in found.items() if name.startswith("m")}
    assert {name for name, kind in masters.items() if name.endswith("valid") and kind == "output"} == {
        "m0_axi_arvalid", "m0_axi_awvalid", "m0_axi_wvalid", "m1_axi_arvalid",
    }  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["contract_hash"] == f"{CONTRACT_HASH:016x}"
    assert manifest["config"] == TINY.as_dict()
    assert manifest["build_id"] == 7


def test_the_unit_is_written_once_and_instantiated_for_every_place(verilog: str) -> None:
    assert len(re.findall(r"^module cpt_matrix_unit\(", verilog, re.M)) == 1
    units = TINY.rows * TINY.cols + TINY.cols
    assert len(re.findall(r"^\s+cpt_matrix_unit ", verilog, re.M)) == units


@pytest.mark.parametrize("form", FORMS)
def test_the_unit_comes_in_the_form_that_was_asked_for(form: str) -> None:
    text = unit_verilog(TINY, form)
    ports = ports_of(text, "cpt_matrix_unit")
    assert set(ports) == {"clk", "rst", "a", "b", "clear", "double", "count", "subtract", "capture", "result"}
    cells = set(re.findall(r"^  (LUT6|LUT6_2|CARRY4|FDRE|DSP48E1) #?\(?", text, re.M))
    assert cells == ({"LUT6", "LUT6_2", "CARRY4", "FDRE", "DSP48E1"} if form == "xc7" else set())
    assert ("<=" in text) == (form == "portable"), "the instantiated form has no inferred register"


def test_every_memory_starts_as_zero_in_one_line(verilog: str) -> None:
    declared = re.findall(r"^ +reg \[\d+:0\] (\S+) ?\[(\d+):0\];", verilog, re.M)
    cleared = re.findall(r"^ +initial for .* < (\d+); .*\) (\S+) ?\[.*\] = \d+'[hd]0+;", verilog, re.M)
    assert [(name, int(last) + 1) for name, last in declared] == [
        (name, int(words)) for words, name in cleared
    ]
    assert not re.search(r"\[1\] = \d+'[hd]", verilog)


def test_the_verilog_does_not_tell_where_it_was_made(verilog: str) -> None:
    assert "src =" not in verilog
    assert "/amaranth/" not in verilog


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_can_be_exported_alone(name: str, tmp_path: Path) -> None:
    top = export_block(name, TINY, tmp_path)
    ports = ports_of((tmp_path / f"{name}.v").read_text(), top)
    assert ports["clk"] == ports["rst"] == "input"
    assert "output" in ports.values()


@pytest.mark.parametrize("name", ["marks", "local", "lane", "writer"])
def test_blocks_of_the_step_machine_and_parts_of_them_can_be_exported_alone(
    name: str, tmp_path: Path
) -> None:
    top = export_block(name, preset("tiny", "step"), tmp_path)
    assert "output" in ports_of((tmp_path / f"{name}.v").read_text(), top).values()


def test_a_block_that_only_the_other_machine_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"block is .drain.; allowed: .*lane, .*lanes"):
        export_block("drain", preset("tiny", "step"), tmp_path)


def test_an_unknown_block_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"block is .nosuch.; allowed: .*array"):
        export_block("nosuch", TINY, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_an_unknown_preset_with_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cpt.hw.export", "--preset", "huge", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "preset is 'huge'; allowed: zc706, z7020, middle, tiny" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("machine", [None, STEP])
def test_every_register_has_a_name_that_its_source_gave_it(machine: str | None) -> None:
    """Amaranth names a Signal by what it is assigned to, and cannot where several are assigned at once."""
    text = accelerator_verilog(preset("tiny", machine) if machine else TINY)
    assert re.findall(r"^ *reg .*\$signal.*", text, re.M) == []
