"""How many LUT sites of a 7-series part the cells of a mapped netlist take.

A site computes one function of six inputs, or two functions of five inputs in all; the one in front of a
carry bit computes its select and at most its data input (UG474, "Look-Up Table" and "Carry Logic").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

SHARED_INPUTS = 5
FANOUT = 32
"""Signals with more readers bring no functions together: these lie all over the part."""

Functions = dict[int, frozenset[int]]
"""Inputs of each function by the signal it drives; Yosys numbers signals, constants are strings."""


def lut_sites(cells: Iterable[Mapping[str, Any]]) -> int:
    """Sites that the LUTs, inverters and carries among ``cells`` (Yosys's JSON) take.

    Two functions share a site where they have an input in common, as placers combine them; which ones is
    chosen greedily. A LUT6_2 is a site of two functions already.
    """
    functions: Functions = {}
    whole: set[int] = set()
    carries: list[tuple[int, Any]] = []
    for cell in cells:
        ports = cell["connections"]
        if cell["type"] == "CARRY4":
            bits = zip(ports["S"], ports["DI"], strict=True)
            carries += [(select, data) for select, data in bits if isinstance(select, int)]
        elif cell["type"] == "INV" or cell["type"] in ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"):
            signals = (bit for name, bits in ports.items() if name != "O" for bit in bits)
            functions[ports["O"][0]] = frozenset(bit for bit in signals if isinstance(bit, int))
        elif cell["type"] == "LUT6_2":
            whole.add(ports["O6"][0])
    for select, data in carries:
        whole.discard(select)
        inputs = functions.pop(select, frozenset())
        if data in functions and len(inputs | functions[data]) <= SHARED_INPUTS:
            del functions[data]
    return len(carries) + len(whole) + len(functions) - _pairs(functions)


def _pairs(functions: Functions) -> int:
    """Pairs that share a site; functions with the fewest possible partners choose first."""
    readers = defaultdict(list)
    for output, inputs in functions.items():
        for signal in inputs:
            readers[signal].append(output)
    partners = {
        output: {
            other
            for signal in inputs
            if len(readers[signal]) <= FANOUT
            for other in readers[signal]
            if other != output and len(inputs | functions[other]) <= SHARED_INPUTS
        }
        for output, inputs in functions.items()
    }
    taken: set[int] = set()
    for output in sorted(partners, key=lambda item: len(partners[item])):
        free = partners[output] - taken
        if output not in taken and free:
            taken |= {output, min(free, key=lambda item: (len(partners[item] - taken), item))}
    return len(taken) // 2
