"""Figures of one preset, as `build/synth/<preset>.json` holds them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.board import BOARDS, Board
from cpt.hw.contract.config import STEP
from cpt.sim.synth.graph import PORT, Graph, flatten, without_bit
from cpt.sim.synth.kept import lost
from cpt.sim.synth.resources import Resources, count, resources
from cpt.sim.synth.rule import Breach, breaches, estimate_ps, fan_out, reset_net
from cpt.sim.synth.walk import LEFT, NET, THROUGH, Length, Macro, Ways, macro, walk
from cpt.sim.synth.yosys import Netlist

CLOCKS_MHZ = (200, 150)
"""Clocks that the page prints times beside."""
SLOWEST = 500
"""Registers whose longest path is in the report."""
SMALL = "pynq-z2"
"""Board whose part a preset without a board of its own is compared with."""
Report = dict[str, Any]


def board_of(config: ArrayConfig) -> Board:
    """The board that a preset is built for, else the smaller one."""
    return next((board for board in BOARDS.values() if board.preset == config.name), BOARDS[SMALL])


def name_of(config: ArrayConfig) -> str:
    """What a preset's figures are called; those of the machine that does whole steps have its name too."""
    return f"{config.name}-{STEP}" if config.scratch_words else config.name


def report(config: ArrayConfig, netlist: Netlist) -> Report:
    """All figures of a preset's netlist."""
    modules = netlist.modules
    name = netlist.unit
    unit = flatten(modules, name)
    for cell in unit.cells:
        cell.block = name
    macros = {name: macro(unit)}
    whole = flatten(modules, netlist.top, frozenset(macros))
    unit_ways, ways = walk(unit, {}), walk(whole, macros)
    broken = [*lost(modules), *breaches(unit_ways, {}), *breaches(ways, macros)]
    counted, board = count(netlist), board_of(config)
    total, capacity = counted.whole, board.capacity
    return {
        "preset": name_of(config),
        "program": netlist.program,
        "part": board.part,
        "lut": total.luts,
        "lut_percent": round(100 * total.luts / capacity.luts, 2),
        "ff": total.flip_flops,
        "ff_percent": round(100 * total.flip_flops / capacity.flip_flops, 2),
        "carry4": total.carry4,
        "dsp": total.dsp,
        "dsp_percent": round(100 * total.dsp / capacity.dsp, 2),
        "bram36": total.bram36,
        "bram36_percent": round(100 * total.bram36 / capacity.bram36, 2),
        "units": counted.units,
        "lut_unit": counted.unit.luts,
        "ff_unit": counted.unit.flip_flops,
        "lut_per_binmac_unit": round(counted.unit.luts / config.word_bits, 4),
        "lut_per_binmac_array": round(counted.array.luts / config.binary_macs, 4),
        "worst_path_ps": max(unit_ways.worst_ps, ways.worst_ps),
        "worst_lut_levels": max(unit_ways.worst_levels, ways.worst_levels),
        "worst_nets": max(Length.of(max(code for _, code, *_ in w.ends)).nets for w in (unit_ways, ways)),
        "max_fanout": max(_largest(unit, {}), _largest(whole, macros)),
        "timing_rule_held": not broken,
        "breaches": len(broken),
        "blocks": {
            name: _block(unit_ways, name, counted.unit, {}, broken),
            **{
                block: _block(ways, block, _resources(netlist, block), macros, broken)
                for block in sorted({cell.block for cell in whole.cells} - {name, PORT})
            },
        },
        "slowest": _slowest(unit_ways, ways),
        "broken": [{**dataclasses.asdict(item), "line": item.line()} for item in broken],
    }


def block_report(netlist: Netlist) -> Report:
    """Figures of one block that was synthesised on its own; its ports count as other blocks."""
    macros = {name: macro(flatten(netlist.modules, name)) for name in netlist.units}
    graph = flatten(netlist.modules, netlist.top, frozenset(macros))
    for cell in graph.cells:
        cell.block = netlist.top
    ways = walk(graph, macros)
    broken = [*lost(netlist.modules), *breaches(ways, macros)]
    found = _block(ways, netlist.top, resources(netlist.modules, netlist.top), macros, broken)
    held = not broken  # ways through it and nets that begin at its ports count too
    return {
        "block": netlist.top,
        **found,
        "timing_rule_held": held,
        "broken": [item.line() for item in broken],
    }


def _largest(graph: Graph, macros: dict[str, Macro]) -> int:
    reset = reset_net(graph)
    return max((loads for net, loads in fan_out(graph, macros).items() if net != reset), default=0)


def _slowest(*walks: Ways) -> dict[str, int]:
    """Estimated picoseconds of the longest path to each register, the slowest `SLOWEST` first."""
    found: dict[str, int] = {}
    for ways in walks:
        for _, code, at, _, _ in ways.ends:
            if not isinstance(at, str):
                name = without_bit(ways.graph.register(at))
                found[name] = max(found.get(name, 0), estimate_ps(Length.of(code)))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:SLOWEST])


def _resources(netlist: Netlist, name: str) -> Resources:
    """Of a block by its name at the top level; the glue between blocks has only LUTs."""
    cells = netlist.modules[netlist.top]["cells"]
    return resources(netlist.modules, cells[name]["type"]) if name in cells else Resources()


def _block(
    ways: Ways, name: str, taken: Resources, macros: dict[str, Macro], broken: list[Breach]
) -> dict[str, Any]:
    """Figures of the paths that end in a block and the nets that begin in it."""
    graph = ways.graph
    inside = left = through = 0
    for state, code, at, _, _ in ways.ends:
        if (PORT if isinstance(at, str) else graph.cells[at].block) == name:
            if state == THROUGH:
                through = max(through, code)
            elif state == LEFT:
                left = max(left, code)
            else:
                inside = max(inside, code)
    reset = reset_net(graph)
    totals = fan_out(graph, macros).items()
    loads = [count for net, count in totals if net != reset and graph.block(net) == name]
    worst = max((inside, left, through), key=lambda code: estimate_ps(Length.of(code)))
    own = Counter(item.rule for item in broken if item.block == name)
    return {
        **dataclasses.asdict(taken),
        "nets_inside": inside // NET,
        "nets_leaving": left // NET,
        "nets_through": through // NET,
        "estimate_ps": estimate_ps(Length.of(worst)),
        "max_fanout": max(loads, default=0),
        "timing_rule_held": not own,
        "breaches": dict(own),
    }
