"""What a list of instructions takes, by the layer and the pass that its instructions work for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cpt.host.compiler.layout import Layout
from cpt.host.compiler.memory import Piece
from cpt.host.compiler.plan import ConvPlan
from cpt.hw.contract.step import Code, Engine
from cpt.sim.step.timing.run import Moment

FORWARD, AGAIN, D_X, D_W, BEFORE = "forward", "y again", "dX", "dW", ""
"""Passes of a layer; ``y again``: its forward product once more, in the backward pass. What a list does
before its first product is of no pass."""
ARRAY, VECTOR, CHANNEL, MEMORY, CONTROL = "array", "vector", "channel unit", "DRAM", "control"
ENGINES = {ARRAY: (Engine.EXEC,), VECTOR: (Engine.DRAIN, Engine.APPLY), CHANNEL: (Engine.FLOAT,)}
"""What a list can be bound by; else by ``DRAM``, or by ``control``: all wait for each other."""
BOUND_SHARE = 0.5
"""Of the cycles, that what binds is busy at least."""


@dataclass
class Part:
    """A pass of a layer, in one list."""

    layer: str
    which: str
    cycles: int = 0
    """By which the end of the list comes later for it: parts add up to the list."""
    bytes: int = 0
    """Read and written."""
    busy: Counter[str] = field(default_factory=Counter)
    """Cycles."""

    @property
    def bound(self) -> str:
        """What is busy most of its cycles; `CONTROL` if nothing is."""
        name, cycles = max(self.busy.items(), key=lambda item: item[1], default=(CONTROL, 0))
        return name if cycles >= BOUND_SHARE * self.cycles > 0 else CONTROL


def by_layer(layout: Layout, moments: Sequence[Moment], memory_bytes: float, *, backward: bool) -> list[Part]:
    """Parts in the order in which they begin; instructions belong to the product that was named before them.

    ``memory_bytes``: of memory, a cycle; ``backward``: a forward product is one that is made again.
    """
    parts: dict[tuple[str, str], Part] = {}
    ended = 0
    for label, moment in _labelled(layout, moments, AGAIN if backward else FORWARD):
        part = parts.setdefault(label, Part(*label))
        part.cycles += max(moment.ended - ended, 0)
        ended = max(ended, moment.ended)
        moved = moment.read + moment.written
        part.bytes += moved
        part.busy[MEMORY] += round(moved / memory_bytes)
        for name, engines in ENGINES.items():
            part.busy[name] += moment.busy * (moment.engine in engines)
    return list(parts.values())


def _labelled(
    layout: Layout, moments: Iterable[Moment], forward: str
) -> Iterator[tuple[tuple[str, str], Moment]]:
    label = ("", BEFORE)
    for moment in moments:
        word = moment.word
        if word.code in (Code.LOAD_A, Code.LOAD_E):
            label = _product(layout.plans, word.code, word.base, word.offset, forward) or label
        yield label, moment


def _product(
    plans: Iterable[ConvPlan], code: Code, base: int, offset: int, forward: str
) -> tuple[str, str] | None:
    """Layer and pass of the operand A at an address; None for the identity, which masks are multiplied by."""
    for plan in plans:
        operands = (
            {D_W: plan.errors.piece}
            if code is Code.LOAD_E
            else {
                forward: plan.planes,
                D_X: plan.error_planes,
            }
        )
        for which, piece in operands.items():
            if _within(piece, base, offset):
                return plan.conv.name, which
    return None


def _within(piece: Piece, base: int, offset: int) -> bool:
    return piece.base == base and piece.offset <= offset < piece.offset + piece.size
