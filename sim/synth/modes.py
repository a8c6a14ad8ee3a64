"""Whether every DSP48E1 and block RAM of a netlist is used as the vendor allows, with its registers on.

UG479 (7 Series DSP48E1 Slice), tables 2-7 to 2-13, and the checks of the vendor's simulation model; UG473
(7 Series Memory Resources), tables 1-4 to 1-9.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from cpt.sim.synth.cells import BLOCK_RAMS, DSP, DSP_REGISTERS, FLIP_FLOPS, LUTS, number
from cpt.sim.synth.graph import CONSTANTS, Cell, Graph, resets, without_bit

ARITHMETIC, LOGIC = (0b0000, 0b0001, 0b0010, 0b0011), (0b0100, 0b0101, 0b0110, 0b0111, *range(12, 16))
"""ALUMODE: sums and differences; two-input logic, where Y chooses the function and must be 00 or 10."""
CARRY_SELECTS = {0b000, 0b001, 0b010, 0b011, 0b100, 0b101, 0b110, 0b111}
CARRY_NEEDS_P = {0b101, 0b111}
"""CARRYINSEL that takes the sign of P, which only P's register may feed back."""
WIDTHS = {"RAMB18E1": (0, 1, 2, 4, 9, 18, 36), "RAMB36E1": (0, 1, 2, 4, 9, 18, 36, 72)}
WRITE_MODES = ("WRITE_FIRST", "READ_FIRST", "NO_CHANGE")
MOST_FREE = 12
"""Mode bits driven by different signals: more are not tried out."""

Problem = tuple[str, str, str]
"""Rule, block, name of the cell."""


def problems(graph: Graph) -> Iterator[Problem]:
    """What each DSP and block RAM does against the lists."""
    for index, cell in enumerate(graph.cells):
        lines: Iterator[str] = iter(())
        if cell.kind == DSP:
            lines = dsp_problems(graph, cell)
        elif cell.kind in BLOCK_RAMS:
            lines = ram_problems(graph, index, cell)
        name = without_bit(cell.name)
        yield from ((line, cell.block, name) for line in lines)


def dsp_problems(graph: Graph, cell: Cell) -> Iterator[str]:
    """Modes that are not legal, and registers that are off, of one DSP48E1."""
    parameters = cell.parameters
    if parameters.get("USE_MULT", "MULTIPLY") not in ("NONE", "MULTIPLY", "DYNAMIC"):
        yield f"USE_MULT is {parameters['USE_MULT']}"
    for port, register in DSP_REGISTERS.items():
        used = any(net >= len(CONSTANTS) for net in cell.pins.get(port, ()))
        depth = number(parameters.get(register, 1))
        if depth not in ((0, 1, 2) if register in ("AREG", "BREG") else (0, 1)):
            yield f"{register} is {depth}"
        if used and not depth and not _registered(graph, cell, port):
            yield f"{register} is off"
    multiplies = parameters.get("USE_MULT", "MULTIPLY") != "NONE"
    if multiplies and not number(parameters.get("MREG", 1)):
        yield "MREG is off"
    if not number(parameters.get("PREG", 1)):
        yield "PREG is off"
    if number(parameters.get("OPMODEREG", 1)) != number(parameters.get("CARRYINSELREG", 1)):
        yield "OPMODEREG and CARRYINSELREG differ"
    yield from sorted({line for mode in modes(graph, cell) for line in [illegal(cell, *mode)] if line})


def _registered(graph: Graph, cell: Cell, port: str) -> bool:
    """Whether flip-flops under one enable and reset feed the port alone: Vivado makes them its register.

    Yosys does not where some bits of the register are constant.
    """
    nets = {net for net in cell.pins[port] if net >= len(CONSTANTS)}
    drivers = [graph.cells[graph.driver[net][0]] for net in nets if net in graph.driver]
    controls = {(*found.pins["CE"], *resets(found)) for found in drivers if found.kind in FLIP_FLOPS}
    outside = {net for bits in graph.outputs.values() for net in bits}
    alone = all(graph.cells[at] is cell for net in nets for at, _, _ in graph.loads[net])
    registers = all(found.kind in FLIP_FLOPS for found in drivers)
    return registers and alone and not nets & outside and len(drivers) == len(nets) and len(controls) == 1


def modes(graph: Graph, cell: Cell) -> Iterator[tuple[int, int, int]]:
    """OPMODE, ALUMODE and CARRYINSEL for every value of the signals that drive them."""
    pins = [*cell.pins["OPMODE"], *cell.pins["ALUMODE"], *cell.pins["CARRYINSEL"]]
    sources = [_source(graph, net) for net in pins]
    free = sorted({net for net, _ in sources if net >= len(CONSTANTS)})[:MOST_FREE]
    for values in product((0, 1), repeat=len(free)):
        known = {0: 0, 1: 1, **dict(zip(free, values, strict=True))}
        bits = [known.get(net, 0) ^ inverted for net, inverted in sources]
        yield _value(bits[:7]), _value(bits[7:11]), _value(bits[11:])


def _value(bits: list[int]) -> int:
    return sum(bit << position for position, bit in enumerate(bits))


def _source(graph: Graph, net: int) -> tuple[int, int]:
    """The signal behind inverters, and whether their number is odd."""
    odd = 0
    while net in graph.driver:
        cell = graph.cells[graph.driver[net][0]]
        if cell.kind == "INV" or (cell.kind in LUTS and LUTS[cell.kind] == 1):
            net, odd = cell.pins["I" if "I" in cell.pins else "I0"][0], odd ^ 1
        else:
            break
    return net, odd


def illegal(cell: Cell, opmode: int, alumode: int, carry_select: int) -> str:
    """Why one mode is not legal; empty if it is."""
    x, y, z = opmode & 3, opmode >> 2 & 3, opmode >> 4
    registered = number(cell.parameters.get("PREG", 1))
    multiplier = cell.parameters.get("USE_MULT", "MULTIPLY")
    shown = f"OPMODE {opmode:07b}"
    if (x == 1) != (y == 1):
        return f"{shown}: the multiplier needs X and Y both"
    if x == 1 and multiplier == "NONE":
        return f"{shown}: the multiplier is not in use"
    if x == 3 and multiplier == "MULTIPLY":
        return f"{shown}: A:B beside a multiplier"
    if (x == 2 or z in (2, 4, 6) or carry_select in CARRY_NEEDS_P) and not registered:
        return f"{shown}: P is fed back without its register"
    if z == 4 and opmode & 15 != 0b1000:
        return f"{shown}: an extended sum needs X and Y at 1000"
    if z == 7:
        return f"{shown}: Z has no such input"
    if alumode in LOGIC:
        return f"{shown}: ALUMODE {alumode:04b} needs Y at 00 or 10" if y not in (0, 2) else ""
    if alumode not in ARITHMETIC:
        return f"ALUMODE {alumode:04b} does not exist"
    if y == 2 and z != 4:
        return f"{shown}: Y is all ones in a sum"
    return ""


def ram_problems(graph: Graph, index: int, cell: Cell) -> Iterator[str]:
    """Attributes that are not legal, and output registers that are off, of one block RAM."""
    mode = cell.parameters.get("RAM_MODE", "TDP")
    if mode not in ("TDP", "SDP"):
        yield f"RAM_MODE is {mode}"
    widest = WIDTHS[cell.kind][-1]
    for kind in ("READ", "WRITE"):
        for side in "AB":
            width = number(cell.parameters.get(f"{kind}_WIDTH_{side}", 0))
            if width not in WIDTHS[cell.kind] or (width == widest and mode != "SDP"):
                yield f"{kind}_WIDTH_{side} is {width} in mode {mode}"
    for side, ports in (("A", ("DOADO", "DOPADOP")), ("B", ("DOBDO", "DOPBDOP"))):
        write = cell.parameters.get(f"WRITE_MODE_{side}", "WRITE_FIRST")
        if write not in WRITE_MODES:
            yield f"WRITE_MODE_{side} is {write}"
        used = any(net in graph.loads for port in ports for net in cell.pins.get(port, ()))
        register = number(cell.parameters.get(f"DO{side}_REG", 0))
        if mode == "SDP" and side == "B":
            register = number(cell.parameters.get("DOA_REG", 0))
        if used and not register and (index, side) not in graph.registered_rams:
            yield "the output register is off"
