"""A mapped netlist (Yosys's JSON) as one flat graph of cells and nets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cpt.hw.contract import ContractError
from cpt.sim.synth.cells import BLOCK_RAMS, FLIP_FLOPS, known

CONSTANTS = {"0": 0, "1": 1, "x": 2, "z": 3}
"""The first nets of every graph."""
GLUE, PORT = "top level", "port"
"""What is named as the block of a cell of the top level itself, and of the design's own ports."""
_BIT = re.compile(r"\[\d+\]$|(?<=[._$])\d+")


@dataclass
class Cell:
    """One primitive or one instance of a macro; ``pins``: nets by port; ``outputs``: ports that drive."""

    kind: str
    name: str
    block: str
    parameters: Mapping[str, Any]
    pins: dict[str, list[int]]
    outputs: frozenset[str]


@dataclass
class Graph:
    """Cells and nets; ``driver`` and ``loads`` hold (cell, port, bit) by net."""

    cells: list[Cell]
    driver: dict[int, tuple[int, str, int]]
    loads: dict[int, list[tuple[int, str, int]]]
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    names: dict[int, str]
    absorbed: set[int] = field(default_factory=set)
    """Flip-flops that are the output register of a block RAM."""
    registered_rams: set[tuple[int, str]] = field(default_factory=set)
    """Block RAMs, with "A" or "B", whose output register is one of ``absorbed``."""
    by_port: dict[int, str] = field(default_factory=dict)
    """Nets that a port of the design drives."""

    def name(self, net: int) -> str:
        """The net's name below its block, else that of the cell that drives it."""
        if net in self.names:
            block, label = self.block(net), self.names[net]
            return label if block in (GLUE, PORT) or label.startswith(f"{block}.") else f"{block}.{label}"
        if net in self.driver:
            cell, port, bit = self.driver[net]
            return f"{self.cells[cell].name}.{port}[{bit}]"
        return self.by_port.get(net, "constant")

    def block(self, net: int) -> str:
        """The block whose cell drives the net."""
        return self.cells[self.driver[net][0]].block if net in self.driver else PORT

    def register(self, cell: int) -> str:
        """What a cell that ends a path is called: the name of a flip-flop's output, else its own."""
        found = self.cells[cell]
        return self.name(found.pins["Q"][0]) if found.kind in FLIP_FLOPS else found.name


def without_bit(name: str) -> str:
    """The register that a bit belongs to; registers that differ only in a number count as one."""
    return _BIT.sub("", name)


def is_module(modules: Mapping[str, Any], kind: str) -> bool:
    """Whether ``kind`` is part of the design, not of the cell library."""
    found = modules.get(kind)
    return found is not None and not {"blackbox", "whitebox"} & found["attributes"].keys()


class _Nets:
    """Numbers for nets, joined where two names turn out to be one wire."""

    def __init__(self) -> None:
        self.parent = list(range(len(CONSTANTS)))

    def new(self) -> int:
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def find(self, net: int) -> int:
        while self.parent[net] != net:
            self.parent[net] = self.parent[self.parent[net]]
            net = self.parent[net]
        return net

    def join(self, first: int, second: int) -> None:
        """Constants stay: they have the lowest numbers."""
        low, high = sorted((self.find(first), self.find(second)))
        self.parent[high] = low


def flatten(modules: Mapping[str, Any], top: str, macros: frozenset[str] = frozenset()) -> Graph:
    """The design below ``top``; modules in ``macros`` stay cells, the top's own instances are the blocks.

    Raises `ContractError` for a cell whose timing is not known.
    """
    nets = _Nets()
    cells: list[Cell] = []
    names: dict[int, tuple[bool, int, str]] = {}

    def walk(kind: str, path: tuple[str, ...], bound: dict[int, int]) -> dict[int, int]:
        module, ids = modules[kind], dict(bound)

        def ident(bit: int | str) -> int:
            if isinstance(bit, str):
                return CONSTANTS[bit]
            if bit not in ids:
                ids[bit] = nets.new()
            return ids[bit]

        block = path[0] if path else GLUE
        for name, cell in module["cells"].items():
            inner = cell["type"]
            pins = {port: [ident(bit) for bit in bits] for port, bits in cell["connections"].items()}
            if inner == "$scopeinfo":
                continue
            if is_module(modules, inner) and inner not in macros:
                inside = partial(walk, inner, (*path, name))
                _instantiate(nets, modules[inner], pins, inside)
                continue
            if inner not in macros and not known(inner):
                raise ContractError(f"cell type is {inner!r}; allowed: those that the timing rule knows")
            outputs = frozenset(p for p, way in cell["port_directions"].items() if way == "output")
            full = ".".join((*path, name))
            owner = inner if inner in macros else block
            cells.append(Cell(inner, full, owner, cell["parameters"], pins, outputs))
        prefix = ".".join(path[:1]) + "." * bool(path)
        for name, item in module["netnames"].items():
            for index, bit in enumerate(item["bits"]):
                if isinstance(bit, int) and bit in ids:
                    label = f"{prefix}{name}" + (f"[{index}]" if len(item["bits"]) > 1 else "")
                    rank = (bool(item.get("hide_name")), len(label), label)
                    if ids[bit] not in names or rank < names[ids[bit]]:
                        names[ids[bit]] = rank
        return ids

    ids = walk(top, (), {})
    ports = modules[top]["ports"].items()
    sides: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}}
    for name, port in ports:
        bits = [CONSTANTS[b] if isinstance(b, str) else ids.setdefault(b, nets.new()) for b in port["bits"]]
        sides[port["direction"]][name] = bits
    return _connect(cells, nets, sides["input"], sides["output"], names)


def _instantiate(
    nets: _Nets, module: Any, pins: dict[str, list[int]], walk: Callable[[dict[int, int]], object]
) -> None:
    """Number the inside of a module with its ports tied to the outside's nets."""
    bound: dict[int, int] = {}
    ties: list[tuple[int, int]] = []
    for port, item in module["ports"].items():
        for bit, outside in zip(item["bits"], pins.get(port, ()), strict=False):
            if isinstance(bit, str):
                ties.append((CONSTANTS[bit], outside))
            elif bit in bound:
                ties.append((bound[bit], outside))
            else:
                bound[bit] = outside
    walk(bound)
    for first, second in ties:
        nets.join(first, second)


def _connect(
    cells: list[Cell],
    nets: _Nets,
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    names: dict[int, tuple[bool, int, str]],
) -> Graph:
    driver: dict[int, tuple[int, str, int]] = {}
    loads: dict[int, list[tuple[int, str, int]]] = {}
    for index, cell in enumerate(cells):
        for port, bits in cell.pins.items():
            cell.pins[port] = bits = [nets.find(bit) for bit in bits]
            for position, net in enumerate(bits):
                if net < len(CONSTANTS):
                    continue
                if port in cell.outputs:
                    driver[net] = (index, port, position)
                else:
                    loads.setdefault(net, []).append((index, port, position))
    found: dict[int, tuple[bool, int, str]] = {}
    for net, rank in names.items():
        root = nets.find(net)
        if root not in found or rank < found[root]:
            found[root] = rank
    graph = Graph(
        cells,
        driver,
        loads,
        {name: [nets.find(bit) for bit in bits] for name, bits in inputs.items()},
        {name: [nets.find(bit) for bit in bits] for name, bits in outputs.items()},
        {net: label for net, (hidden, _, label) in found.items() if not hidden},
    )
    graph.by_port = {net: name for name, bits in graph.inputs.items() for net in bits}
    _absorb_output_registers(graph)
    return graph


def _absorb_output_registers(graph: Graph) -> None:
    """Find the flip-flops that Vivado makes a block RAM's output register, which Yosys never does.

    They follow the memory directly, all of a port's bits together, under one enable and one reset (UG473,
    "Optional Output Registers").
    """
    for index, cell in enumerate(graph.cells):
        if cell.kind not in BLOCK_RAMS:
            continue
        for side, ports in (("A", ("DOADO", "DOPADOP")), ("B", ("DOBDO", "DOPBDOP"))):
            nets = [net for port in ports for net in cell.pins.get(port, ())]
            loads = [load for net in nets for load in graph.loads.get(net, ())]
            bits = sum(net in graph.loads for net in nets)
            registers = [at for at, port, _ in loads if port == "D" and graph.cells[at].kind in FLIP_FLOPS]
            controls = {(*graph.cells[at].pins["CE"], *resets(graph.cells[at])) for at in registers}
            if bits and len(registers) == len(loads) == bits and len(controls) == 1:
                graph.absorbed.update(registers)
                graph.registered_rams.add((index, side))


def resets(cell: Cell) -> Iterator[int]:
    """What resets or sets a flip-flop."""
    for port in ("R", "S", "CLR", "PRE"):
        yield from cell.pins.get(port, [])
