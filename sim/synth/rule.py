"""The timing rule: what a netlist must look like for a placer to have a chance at 200 MHz.

Reasons are in ``docs/board.md``; a rule held is not a clock met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cpt.sim.synth.cells import BLOCK_RAMS, DSP, FLIP_FLOPS, RESET_PINS, is_clock
from cpt.sim.synth.graph import CONSTANTS, PORT, Graph, without_bit
from cpt.sim.synth.walk import LEFT, NET, THROUGH, Length, Macro, Ways
from cpt.sim.synth.yosys import UNITS

MOST_NETS = 4
"""Between two registers of one block."""
MOST_NETS_LEAVING = 3
"""Where the path leaves its block or the design."""
MOST_LUTS_TO_HARD_BLOCK = 1
"""Before the pins of a block RAM or a DSP."""
MOST_LOADS = 32
MOST_LOADS_OF_RESET = 64
"""Of a net that only resets; the clock and one reset may have any number."""
NET_PS, CARRY_PS, FIXED_PS = 700, 100, 550
"""Assumed of a routed net, of a CARRY4, and of clock-to-output, set-up and skew together."""
DATA_BLOCKS = ("array", "buffer_a", "buffer_b", "collector", "results", *UNITS)
WIDE_REGISTER = 8
"""In a data block, a register of more bits than this has no reset."""


@dataclass(frozen=True)
class Breach:
    """One place where the rule is broken. ``count``: bits alike; ``nets``, ``loads``: 0 where not meant."""

    rule: str
    block: str
    start: str
    end: str
    nets: int = 0
    carries: int = 0
    loads: int = 0
    count: int = 1

    def line(self) -> str:
        """The place in one line."""
        size = f": {self.nets} nets, {self.carries} CARRY4" if self.nets else ""
        size += f": {self.loads} loads" if self.loads else ""
        way = f"{self.start} -> {self.end}" if self.end else self.start
        times = f" ({self.count} alike)" if self.count > 1 else ""
        return f"{self.block}: {self.rule}: {way}{size}{times}"


def estimate_ps(length: Length) -> int:
    """Time of a path with assumed wires."""
    return FIXED_PS + NET_PS * length.nets + CARRY_PS * length.carries


def breaches(ways: Ways, macros: dict[str, Macro]) -> list[Breach]:
    """All places where the rule is broken, the longest paths first."""
    graph = ways.graph
    found = [*_paths(ways), *_fan_out(graph, macros), *_registers(graph), *_resets(graph)]
    return sorted(found, key=lambda item: (item.rule, -item.nets, -item.loads, item.start, item.end))


def _paths(ways: Ways) -> Iterator[Breach]:
    graph = ways.graph
    worst: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for state, code, at, pin, net in ways.ends:
        nets = code // NET
        block = PORT if isinstance(at, str) else graph.cells[at].block
        hard = not isinstance(at, str) and graph.cells[at].kind in (*BLOCK_RAMS, DSP)
        most = MOST_NETS_LEAVING if state == LEFT else MOST_NETS
        if state == THROUGH:
            rule = "combinational through a block"
        elif nets > most:
            rule = f"more than {most} nets" + " from block to block" * (state == LEFT)
        elif hard and Length.of(code).luts > MOST_LUTS_TO_HARD_BLOCK:
            rule = f"more than {MOST_LUTS_TO_HARD_BLOCK} LUT to a hard block"
        else:
            continue
        inner = _state_before(ways, state, net, block)
        start = without_bit(graph.name(ways.start(inner, net)))
        end = at if isinstance(at, str) else f"{without_bit(graph.register(at))}.{pin}"
        key = (rule, block, start, end)
        counts[key] += 1
        if key not in worst or code > worst[key][0]:
            worst[key] = (code, nets)
    for (rule, block, start, end), (code, nets) in worst.items():
        length = Length.of(code)
        yield Breach(rule, block, start, end, nets, length.carries, count=counts[rule, block, start, end])


def _state_before(ways: Ways, state: int, net: int, block: str) -> int:
    """The state at the last net of a path that arrives in ``state``."""
    for candidate in range(state, -1, -1):
        if net in ways.arrival[candidate]:
            return candidate
    return state


def fan_out(graph: Graph, macros: dict[str, Macro]) -> dict[int, int]:
    """Pins that each net reaches, those inside macros too; without the clock."""
    found: dict[int, int] = {}
    for net, loads in graph.loads.items():
        total = 0
        for at, port, bit in loads:
            kind = graph.cells[at].kind
            if is_clock(kind, port):
                total = 0
                break
            total += macros[kind].loads[port][bit] if kind in macros else 1
        if total:
            found[net] = total
    return found


def reset_net(graph: Graph) -> int | None:
    """The one net that may reset everything: of those that do, the one with the most loads."""
    resets: Counter[int] = Counter()
    for net, loads in graph.loads.items():
        if net >= len(CONSTANTS):
            pins = (port for at, port, _ in loads if graph.cells[at].kind in FLIP_FLOPS)
            resets[net] = sum(port in RESET_PINS for port in pins)
    net, count = max(resets.items(), key=lambda item: item[1], default=(0, 0))
    return net if count else None


def _fan_out(graph: Graph, macros: dict[str, Macro]) -> Iterator[Breach]:
    reset = reset_net(graph)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for net, total in fan_out(graph, macros).items():
        if net == reset or total <= MOST_LOADS:
            continue
        only_resets = all(port in RESET_PINS for _, port, _ in graph.loads[net])
        most = MOST_LOADS_OF_RESET if only_resets else MOST_LOADS
        if total > most:
            rule = f"more than {most} loads"
            groups.setdefault((rule, graph.block(net), without_bit(graph.name(net))), []).append(total)
    for (rule, block, start), totals in groups.items():
        yield Breach(rule, block, start, "", loads=max(totals), count=len(totals))


def _registers(graph: Graph) -> Iterator[Breach]:
    from cpt.sim.synth.modes import problems

    for (rule, block, name), count in Counter(problems(graph)).items():
        yield Breach(rule, block, name, "", count=count)


def _resets(graph: Graph) -> Iterator[Breach]:
    """Wide registers of data that a reset reaches."""
    reset = reset_net(graph)
    widths: Counter[tuple[str, str]] = Counter()
    for index, cell in enumerate(graph.cells):
        if cell.kind in FLIP_FLOPS and cell.block in DATA_BLOCKS and reset in cell.pins.get("R", ()):
            widths[cell.block, without_bit(graph.register(index))] += 1
    for (block, name), width in widths.items():
        if width > WIDE_REGISTER:
            yield Breach("a reset on data", block, name, "", loads=width)
