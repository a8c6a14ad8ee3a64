"""The walk over a graph: how many nets, LUTs and picoseconds lie between two registers.

A *net* is a wire that leaves a slice. What stays in one is none: a LUT or carry into the flip-flop behind it,
a LUT into its carry chain or wide multiplexer, one CARRY4 into the next. Entering a carry chain counts as
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cpt.hw.contract import ContractError
from cpt.sim.synth.cells import (
    BLOCK_RAM_CLOCK_PS,
    BLOCK_RAM_SETUP_PS,
    BLOCK_RAMS,
    CARRY_IN_PS,
    CARRY_OUT_PS,
    CARRY_PASS_PS,
    CLOCK_TO_Q_PS,
    DSP,
    DSP_CLOCK_PS,
    DSP_REGISTERS,
    DSP_SETUP_PS,
    DSP_THROUGH_PS,
    ENABLE_PS,
    FLIP_FLOPS,
    LUT_PS,
    LUT_RAM_CLOCK_PS,
    LUT_RAM_DATA_PS,
    LUT_RAM_ENABLE_PS,
    LUT_RAMS,
    LUTS,
    RESET_PS,
    SHIFTER_CLOCK_PS,
    SHIFTER_DATA_PS,
    SHIFTERS,
    SUM_PS,
    WIDE_MUXES,
    is_clock,
    number,
)
from cpt.sim.synth.graph import CONSTANTS, GLUE, PORT, Cell, Graph

NET = 1 << 20
CARRY = 1 << 10
"""A path's length is ``nets * NET + carries * CARRY + luts``: the most nets, then the most carries."""
INSIDE, LEFT, THROUGH = range(3)
"""Where a path has been: in one block; from one into another; combinationally through a third."""
CHAIN = 2
"""Nets of a way into a carry chain that does not come from a LUT of its own slice: a wire and the chain."""


@dataclass(frozen=True)
class Length:
    """One path: ``nets``, ``carries`` (CARRY4s) and ``luts`` on it."""

    nets: int
    carries: int
    luts: int

    @classmethod
    def of(cls, code: int) -> Length:
        return cls(code // NET, code % NET // CARRY, code % CARRY)


@dataclass
class Macro:
    """A module that was walked on its own: codes and picoseconds behind its inputs and before its outputs."""

    inputs: dict[str, tuple[int, int, int]]
    """By port: longest code, LUT levels and picoseconds to a register inside."""
    outputs: dict[str, tuple[int, int, int]]
    loads: dict[str, list[int]]
    """Pins inside by port and bit."""


@dataclass
class Ways:
    """All that a walk finds. Paths are (state, code, end cell or output port, end pin, net before it)."""

    graph: Graph
    arrival: list[dict[int, int]]
    before: list[dict[int, tuple[int, int]]]
    ends: list[tuple[int, int, int | str, str, int]] = field(default_factory=list)
    ps: dict[int, int] = field(default_factory=dict)
    """Picoseconds at which each net has its value."""
    worst_ps: int = 0
    worst_levels: int = 0

    def start(self, state: int, net: int) -> int:
        """The net at which the longest path to ``net`` starts."""
        while (net in self.before[state]) and self.before[state][net][0] >= 0:
            net, state = self.before[state][net]
        return net

    def path(self, state: int, net: int) -> list[int]:
        """Nets of the longest path to ``net``, first to last."""
        found = [net]
        while net in self.before[state]:
            net, state = self.before[state][net]
            found.append(net)
        return found[::-1]


Arc = tuple[int, int, int, int]
"""From a net: nets added, code added besides, picoseconds."""


def walk(graph: Graph, macros: dict[str, Macro], from_ports: Iterable[str] | None = None) -> Ways:
    """Longest paths between all registers and ports; only from the input ports ``from_ports`` if given.

    Raises `ContractError` for a combinational loop.
    """
    arrival: list[dict[int, int]] = [{}, {}, {}]
    before: list[dict[int, tuple[int, int]]] = [{}, {}, {}]
    levels: dict[int, int] = {}
    ps: dict[int, int] = {}
    fan_in: dict[int, tuple[bool, list[Arc]]] = {}

    for name, bits in graph.inputs.items():
        if from_ports is None or name in from_ports:
            for net in bits:
                arrival[INSIDE][net], levels[net], ps[net] = 0, 0, 0
    for index, cell in enumerate(graph.cells):
        if from_ports is None:
            for net, code, level, delay in _starts(graph, index, cell, macros):
                if net >= len(CONSTANTS):
                    arrival[INSIDE][net], levels[net], ps[net] = code, level, delay
        for output, is_lut, arcs in _arcs(graph, index, cell):
            if output >= len(CONSTANTS) and arcs:
                fan_in[output] = (is_lut, arcs)

    for net in _order(fan_in):
        is_lut, arcs = fan_in[net]
        block = graph.block(net)
        times: list[int] = []
        level = -1
        for source, hop, extra, delay in arcs:
            if source not in ps:
                continue
            times.append(ps[source] + delay)
            level = max(level, levels[source] + extra % CARRY)
            from_block = graph.block(source)
            for state in (INSIDE, LEFT, THROUGH):
                if source not in arrival[state]:
                    continue
                after = _state(state, from_block, block)
                total = arrival[state][source] + hop * NET + extra
                if total > arrival[after].get(net, -1):
                    arrival[after][net], before[after][net] = total, (source, state)
        if times:
            if is_lut:
                times = [t + LUT_PS[i] for i, t in enumerate(sorted(times, reverse=True))]
            ps[net], levels[net] = max(ps.get(net, 0), *times), max(level, levels.get(net, 0))

    ways = Ways(graph, arrival, before, ps=ps)

    def end(net: int, hop: int, more: tuple[int, int, int], block: str, at: int | str, pin: str) -> None:
        if net not in ps:
            return
        code, level, setup = more
        ways.worst_ps = max(ways.worst_ps, ps[net] + setup)
        ways.worst_levels = max(ways.worst_levels, levels[net] + level)
        for state in (INSIDE, LEFT, THROUGH):
            if net in arrival[state]:
                total = arrival[state][net] + hop * NET + code
                ways.ends.append((_state(state, graph.block(net), block), total, at, pin, net))

    for index, cell in enumerate(graph.cells):
        for net, hop, more, pin in _ends(graph, index, cell, macros):
            end(net, hop, more, cell.block, index, pin)
    for name, bits in graph.outputs.items():
        for net in bits:
            end(net, 1, (0, 0, 0), PORT, name, name)
    return ways


def macro(graph: Graph) -> Macro:
    """What a module looks like from outside; it must have no combinational way from input to output."""
    inputs, outputs = {}, {}
    for name, bits in graph.inputs.items():
        ways = walk(graph, {}, [name])
        if any(isinstance(at, str) for _, _, at, _, _ in ways.ends):
            raise ContractError(
                f"port {name} reaches an output without a register; allowed: registered modules"
            )
        if ways.ends:
            inputs[name] = (max(code for _, code, _, _, _ in ways.ends), ways.worst_levels, ways.worst_ps)
        elif not set(bits) & clocks_of(graph):
            inputs[name] = (NET, 0, 0)
    ways = walk(graph, {})
    for name, bits in graph.outputs.items():
        codes = [code for _, code, at, _, _ in ways.ends if at == name]
        if codes:
            code = max(codes) - NET
            outputs[name] = (code, Length.of(code).luts, max(ways.ps.get(net, 0) for net in bits))
    loads = {name: [len(graph.loads.get(net, ())) for net in bits] for name, bits in graph.inputs.items()}
    return Macro(inputs, outputs, loads)


def clocks_of(graph: Graph) -> set[int]:
    """Nets at clock pins."""
    return {
        net
        for cell in graph.cells
        for port, bits in cell.pins.items()
        if is_clock(cell.kind, port)
        for net in bits
    }


def _state(state: int, source: str, target: str) -> int:
    if source == target or state == THROUGH:
        return state
    if state == INSIDE or source == GLUE:
        return LEFT
    return THROUGH


def _order(fan_in: dict[int, tuple[bool, list[Arc]]]) -> Iterator[int]:
    """Nets with a combinational driver, each behind all that it depends on."""
    waiting: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    for net, (_, arcs) in fan_in.items():
        sources = {source for source, _, _, _ in arcs if source in fan_in}
        waiting[net] = len(sources)
        for source in sources:
            readers.setdefault(source, []).append(net)
    ready = [net for net, count in waiting.items() if not count]
    done = 0
    while ready:
        net = ready.pop()
        done += 1
        yield net
        for reader in readers.get(net, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if done < len(fan_in):
        raise ContractError(f"{len(fan_in) - done} nets are in a combinational loop; allowed: none")


def _kind(graph: Graph, net: int) -> str:
    return graph.cells[graph.driver[net][0]].kind if net in graph.driver else ""


def _is_lut(kind: str) -> bool:
    return kind in LUTS


def _arcs(graph: Graph, index: int, cell: Cell) -> Iterator[tuple[int, bool, list[Arc]]]:
    """Output net, whether pins may be swapped, and arcs of a combinational cell."""
    kind, pins = cell.kind, cell.pins
    if _is_lut(kind):
        sources = [pins[p][0] for p in pins if p not in cell.outputs]
        for port in cell.outputs:
            yield pins[port][0], True, [(net, 1, 1, 0) for net in sources]
    elif kind in WIDE_MUXES:
        data, select = WIDE_MUXES[kind]
        before = ("MUXF7",) if kind == "MUXF8" else tuple(LUTS)
        arcs = [(pins[p][0], int(_kind(graph, pins[p][0]) not in before), 0, data) for p in ("I0", "I1")]
        yield pins["O"][0], False, [*arcs, (pins["S"][0], 1, 0, select)]
    elif kind == "CARRY4":
        yield from _carry(graph, cell)
    elif kind in LUT_RAMS or kind in SHIFTERS:
        for address, outputs in _reads(kind):
            sources = pins.get(address, [])
            for port in outputs:
                for net in pins.get(port, []):
                    yield net, True, [(source, 1, 1, 0) for source in sources]
    elif kind == DSP and not number(cell.parameters.get("PREG", 1)):
        sources = [
            net
            for port, register in DSP_REGISTERS.items()
            if not number(cell.parameters.get(register, 1))
            for net in pins.get(port, [])
        ]
        for net in pins["P"]:
            yield net, False, [(source, 1, NET, DSP_THROUGH_PS) for source in sources]


def _reads(kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if kind in ("RAM32M", "RAM64M"):
        yield from ((f"ADDR{way}", (f"DO{way}",)) for way in "ABCD")
    elif kind in SHIFTERS:
        yield from ((f"A{bit}", ("Q",)) for bit in range(4))
        yield "A", ("Q",)
    else:
        yield from (("A", ("SPO", "O")), ("DPRA", ("DPO",)))
        yield from ((f"A{bit}", ("SPO", "O")) for bit in range(7))
        yield from ((f"DPRA{bit}", ("DPO",)) for bit in range(7))


def _carry(graph: Graph, cell: Cell) -> Iterator[tuple[int, bool, list[Arc]]]:
    """Each sum and carry from its own and all lower bits, and from the carry that comes in."""
    pins = cell.pins
    ways: list[Arc] = []
    for port in ("CI", "CYINIT"):
        net = pins[port][0]
        passing = port == "CI" and _kind(graph, net) == "CARRY4"
        ways.append((net, 0 if passing else CHAIN, CARRY, CARRY_PASS_PS if passing else CARRY_IN_PS))
    for bit in range(4):
        select, data = pins["S"][bit], pins["DI"][bit]
        select_hop = 1 if _is_lut(_kind(graph, select)) else CHAIN
        own = _is_lut(_kind(graph, data)) and len(graph.loads.get(data, ())) == 1
        yield pins["O"][bit], False, [*ways_out(ways), (select, select_hop, CARRY, CARRY_OUT_PS)]
        ways.append((select, select_hop, CARRY, CARRY_IN_PS))
        ways.append((data, 1 if own else CHAIN, CARRY, CARRY_IN_PS))
        yield pins["CO"][bit], False, list(ways)


def ways_out(ways: list[Arc]) -> list[Arc]:
    """The same ways to a sum: what came through the chain passes one exclusive or more."""
    return [
        (net, hop, code, SUM_PS if delay == CARRY_PASS_PS else CARRY_IN_PS + CARRY_PASS_PS)
        for net, hop, code, delay in ways
    ]


def _starts(
    graph: Graph, index: int, cell: Cell, macros: dict[str, Macro]
) -> Iterator[tuple[int, int, int, int]]:
    kind = cell.kind
    if kind in FLIP_FLOPS:
        yield cell.pins["Q"][0], 0, 0, BLOCK_RAM_CLOCK_PS[True] if index in graph.absorbed else CLOCK_TO_Q_PS
    elif kind in LUT_RAMS or kind in SHIFTERS:
        delay = LUT_RAM_CLOCK_PS if kind in LUT_RAMS else SHIFTER_CLOCK_PS
        for port in cell.outputs:
            for net in cell.pins[port]:
                yield net, 0, 0, delay
    elif kind in BLOCK_RAMS:
        for side, ports in (("A", ("DOADO", "DOPADOP")), ("B", ("DOBDO", "DOPBDOP"))):
            if (index, side) not in graph.registered_rams:
                delay = BLOCK_RAM_CLOCK_PS[bool(number(cell.parameters.get(f"DO{side}_REG", 0)))]
                for port in ports:
                    for net in cell.pins.get(port, ()):
                        yield net, 0, 0, delay
    elif kind == DSP:
        delay = DSP_CLOCK_PS[bool(number(cell.parameters.get("PREG", 1)))]
        for net in cell.pins["P"]:
            yield net, 0, 0, delay
    elif kind in macros:
        for port, (code, level, delay) in macros[kind].outputs.items():
            for net in cell.pins[port]:
                yield net, code, level, delay


def _ends(
    graph: Graph, index: int, cell: Cell, macros: dict[str, Macro]
) -> Iterator[tuple[int, int, tuple[int, int, int], str]]:
    """Net, nets added, (code, level, picoseconds) added, and pin of whatever a path may end at."""
    kind, pins = cell.kind, cell.pins
    if kind in FLIP_FLOPS:
        if index in graph.absorbed:
            return
        data = pins["D"][0]
        behind = _kind(graph, data) in (*LUTS, *WIDE_MUXES, "CARRY4", *LUT_RAMS)
        yield data, 0 if behind and not _other_register(graph, data) else 1, (0, 0, 0), "D"
        yield pins["CE"][0], 1, (0, 0, ENABLE_PS), "CE"
        for pin in ("R", "S", "CLR", "PRE"):
            if pin in pins:
                yield pins[pin][0], 1, (0, 0, RESET_PS), pin
    elif kind in LUT_RAMS or kind in SHIFTERS:
        reads = {port for port, _ in _reads(kind)} - {"ADDRD", "A", "A0", "A1", "A2", "A3", "A4", "A5", "A6"}
        if kind in SHIFTERS:
            reads = {port for port, _ in _reads(kind)}
        for port, bits in pins.items():
            if port not in cell.outputs and not is_clock(kind, port) and port not in reads:
                setup = LUT_RAM_ENABLE_PS if port in ("WE", "CE") else LUT_RAM_DATA_PS
                if kind in SHIFTERS:
                    setup = SHIFTER_DATA_PS
                yield from ((net, 1, (0, 0, setup), port) for net in bits)
    elif kind in BLOCK_RAMS:
        for port, bits in pins.items():
            if port not in cell.outputs and not is_clock(kind, port):
                yield from ((net, 1, (0, 0, BLOCK_RAM_SETUP_PS), port) for net in bits)
    elif kind == DSP:
        registered = number(cell.parameters.get("PREG", 1))
        for port, bits in pins.items():
            if port in cell.outputs or is_clock(kind, port):
                continue
            own = number(cell.parameters.get(DSP_REGISTERS.get(port, ""), 1))
            if own or registered:
                setup = DSP_SETUP_PS[bool(own)]
                yield from ((net, 1, (0, 0, setup), port) for net in bits)
    elif kind in macros:
        for port, more in macros[kind].inputs.items():
            yield from ((net, 0, more, port) for net in pins.get(port, ()))


def _other_register(graph: Graph, net: int) -> bool:
    """Whether more than one flip-flop takes the net as data: only one can share its slice."""
    loads = graph.loads.get(net, ())
    return sum(port == "D" and graph.cells[at].kind in FLIP_FLOPS for at, port, _ in loads) > 1
