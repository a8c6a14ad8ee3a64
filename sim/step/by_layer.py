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

FORWARD, AGAIN, D_X, D_W, ALL = "forward", "y again", "dX", "dW", "all"
"""Passes of a layer; ``y again``: its forward product once more, in the backward pass. What is of no layer
has a name in its place, and is all of it."""
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

    def add(self, other: Part, times: int) -> None:
        """The same pass in another list that runs so often."""
        self.cycles += times * other.cycles
        self.bytes += times * other.bytes
        for name, cycles in other.busy.items():
            self.busy[name] += times * cycles

    @property
    def bound(self) -> str:
        """What is busy most of its cycles; `CONTROL` if nothing is."""
        name, cycles = max(self.busy.items(), key=lambda item: item[1], default=(CONTROL, 0))
        return name if cycles >= BOUND_SHARE * self.cycles > 0 else CONTROL


def by_layer(
    layout: Layout, moments: Sequence[Moment], woven: Sequence[str], memory_bytes: float, *, backward: bool
) -> list[Part]:
    """Parts in the order in which they begin; instructions belong to the product that was named before them,
    those before the first to the list itself.

    ``woven``: of each instruction, what else it belongs to; ``memory_bytes``: of memory, a cycle;
    ``backward``: a forward product is one that is made again.
    """
    parts: dict[tuple[str, str], Part] = {}
    ended = 0
    for label, moment in labelled(layout, moments, woven, backward):
        part = parts.setdefault(label, Part(*label))
        part.cycles += max(moment.ended - ended, 0)
        ended = max(ended, moment.ended)
        moved = moment.read + moment.written
        part.bytes += moved
        part.busy[MEMORY] += round(moved / memory_bytes)
        for name, engines in ENGINES.items():
            part.busy[name] += moment.busy * (moment.engine in engines)
    return list(parts.values())


def labelled(
    layout: Layout, moments: Iterable[Moment], woven: Iterable[str], backward: bool
) -> Iterator[tuple[tuple[str, str], Moment]]:
    """Layer and pass of each instruction, as `by_layer` has them."""
    label, forward = ("backward" if backward else "forward", ALL), AGAIN if backward else FORWARD
    for moment, apart in zip(moments, woven, strict=True):
        if apart:
            yield (apart, ALL), moment
            continue
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
