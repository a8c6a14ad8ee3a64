"""Verilog of the accelerator, of one block, and of the unit that both instantiate."""

import json
import re
from pathlib import Path

from amaranth import ClockDomain, Module, Value
from amaranth.back import verilog

from cpt.hw.accelerator import Accelerator
from cpt.hw.contract import CONTRACT_HASH, ArrayConfig
from cpt.hw.export.blocks import build_block
from cpt.hw.export.interfaces import annotate
from cpt.hw.export.memory_init import compact
from cpt.hw.matrix import unit
from cpt.hw.matrix.unit import Unit
from cpt.hw.step.machine import StepMachine

TOP = "cpt_accelerator"
PREFIXES = {
    "s_axil": "s_axil_",
    **{name: f"{name[:2]}_axi_" for name in ("m0", "m0_write", "m1", "m1_write")},
    "irq": "irq",
}


def _ports(component, prefixes: dict[str, str]) -> dict:
    """Ports of the top: the interface's prefix and the member's name; inner members keep Amaranth's names."""
    ports = {}
    for path, _, value in component.signature.flatten(component):
        head, *rest = (str(part) for part in path)
        ports[prefixes.get(head, head) + "__" * bool(rest and head not in prefixes) + "__".join(rest)] = (
            Value.cast(value),
            None,
        )
    return ports


def _convert(elaboratable, name: str, ports: dict) -> str:
    """Verilog without source paths, which would tell where it was made."""
    return compact(
        verilog.convert(elaboratable, name=name, ports=ports, emit_src=False, strip_internal_attrs=True)
    )


def unit_module(word_bits: int, form: str, bits: int, name: str) -> str:
    """A unit of any width as module ``name``; see `cpt.hw.matrix.unit.Unit`."""
    block = Unit(word_bits, form, bits)
    return _convert(block, name, _ports(block, {}))


def unit_verilog(config: ArrayConfig, form: str = "portable") -> str:
    """The unit in one of its forms, once; everything else instantiates it."""
    return unit_module(config.word_bits, form, unit.result_bits(config), unit.MODULE_NAME)


def _with_units(text: str, config: ArrayConfig, form: str) -> str:
    """``text`` behind the modules of the units that it instantiates."""
    if re.search(rf"^\s+{unit.MODULE_NAME} ", text, re.M):
        text = unit_verilog(config, form) + text
    return text


def accelerator_verilog(config: ArrayConfig, *, build_id: int = 0, form: str = "portable") -> str:
    """The whole design as one Verilog source; top module ``cpt_accelerator``.

    See ``docs/fabric.md`` where ``config`` has scratch, else ``docs/machine.md``.

    ``form``: of the matrix units, ``"portable"`` for simulators and any part, ``"xc7"`` for 7-series parts.
    """
    machine = StepMachine if config.scratch_words else Accelerator
    return _whole(machine(config, build_id=build_id), form)


def _whole(top: Accelerator | StepMachine, form: str) -> str:
    clock = {"clk": (top.domain.clk, None), "rst": (top.domain.rst, None)}
    text = _convert(top, TOP, {**clock, **_ports(top, PREFIXES)})
    return annotate(_with_units(text, top.config, form))


def export(config: ArrayConfig, path: Path | str, *, build_id: int = 0, form: str = "portable") -> Path:
    """Write ``cpt_accelerator.v`` and ``manifest.json`` into directory ``path``; returns the Verilog file."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    target = path / f"{TOP}.v"
    target.write_text(accelerator_verilog(config, build_id=build_id, form=form))
    manifest = {
        "top": TOP,
        "config": config.as_dict(),
        "contract_hash": f"{CONTRACT_HASH:016x}",
        "build_id": build_id,
    }
    (path / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return target


def export_block(name: str, config: ArrayConfig, path: Path | str, form: str = "portable") -> str:
    """Write block ``name`` as ``NAME.v`` into folder ``path``; returns its module name.

    ``form``: of the matrix units, as of `accelerator_verilog`.

    Every block has ports ``clk`` and ``rst``; interface members are joined by two underscores. Raises
    `ContractError` for an unknown name.
    """
    block, top = build_block(name, config), f"cpt_{name}"
    m = Module()
    m.domains.sync = domain = ClockDomain("sync")
    m.submodules.block = block
    ports = {"clk": (domain.clk, None), "rst": (domain.rst, None), **_ports(block, {})}
    text = _with_units(_convert(m, top, ports), config, form)
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / f"{name}.v").write_text(text)
    return top
