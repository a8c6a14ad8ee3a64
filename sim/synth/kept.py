"""Registers that the source says to keep: copies that share the loads of a net, and must stay apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cpt.sim.synth.cells import FLIP_FLOPS
from cpt.sim.synth.graph import is_module, without_bit
from cpt.sim.synth.rule import Breach

MERGED, GONE = "a kept register was merged", "a kept register is no flip-flop"


def lost(modules: dict[str, Any]) -> Iterator[Breach]:
    """One entry for each kept register of a mapped netlist that is not there bit by bit."""
    for kind, module in modules.items():
        if not is_module(modules, kind):
            continue
        driven = {
            cell["connections"]["Q"][0] for cell in module["cells"].values() if cell["type"] in FLIP_FLOPS
        }
        owner: dict[int, str] = {}  # number of the register (`cpt.sim.synth.yosys.numbered`) by its bit
        for name, net in sorted(module["netnames"].items()):
            if "keep" not in net["attributes"]:
                continue
            number = net["attributes"]["keep"]
            rules = {MERGED for bit in net["bits"] if owner.setdefault(bit, number) != number}
            rules |= {GONE for bit in net["bits"] if bit not in driven}
            block = kind.rpartition(".")[2]
            yield from (Breach(rule, block, without_bit(name), "") for rule in sorted(rules))
