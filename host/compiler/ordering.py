"""The order of a list's instructions, where what they read and write leaves a choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cpt.host.compiler.builder import Region
from cpt.host.compiler.lifetimes import VIRTUAL, Held, Recorder, vector_of
from cpt.host.compiler.regions import NAMED
from cpt.host.compiler.vectors import MEMORIES
from cpt.hw.contract.floats import FIELD, Space
from cpt.hw.contract.step import ENGINES, Code, Engine

_OF_PRODUCTS = (Engine.LOAD, Engine.FETCH, Engine.EXEC, Engine.DRAIN)
FOLLOW_CYCLES, APART_CYCLES = 22, 15
"""About as long as a FLOAT's results take, for the one behind it if it reads them, and if it does not."""


def ordered(recorder: Recorder) -> Recorder:
    """The same list with FLOATs in an order in which few wait; their vectors may take more room."""
    held: list[Held] = []
    floats: list[Held] = []
    for item in recorder.held:
        if item.code is Code.FLOAT:
            floats.append(item)
            continue
        held += [*_Floats(recorder.config.float_lanes, floats).ordered(), item]
        floats = []
    return replace(recorder, held=[*held, *_Floats(recorder.config.float_lanes, floats).ordered()])


def weights_ahead(held: Sequence[Held]) -> list[Held]:
    """Every LOAD_A right behind the product before its own: half of the buffer is free by then, and many
    instructions of what lies between would keep it from its queue."""
    found: list[Held] = []
    behind = 0
    """Where the last product ends."""
    for item in held:
        if item.code is Code.LOAD_A:
            found.insert(behind, item)
            behind += 1
        else:
            found.append(item)
            if ENGINES[item.code] in _OF_PRODUCTS:
                behind = len(found)
    return found


@dataclass
class _Float:
    """An instruction among its neighbours."""

    item: Held
    cycles: int
    """That its elements take."""
    before: set[int] = field(default_factory=set)
    """Instructions that it comes after."""
    behind: set[int] = field(default_factory=set)
    waits: bool = False
    """For statistics that other engines make, or for one that does."""
    height: int = 0
    """Cycles from its begin to the last of those that come after it."""


class _Floats:
    """FLOATs in a row: they run in order, and each waits for the one before it, longer if it reads of it."""

    def __init__(self, lanes: int, items: list[Held]) -> None:
        self.floats = [_Float(item, _cycles(item, lanes)) for item in items]
        readers: dict[object, list[int]] = defaultdict(list)
        writers: dict[object, int] = {}
        of_regions: list[int] = []
        for number, each in enumerate(self.floats):
            item = each.item
            if item.channels:
                # A region may have no room before others are done with.
                others = (n for n in of_regions if self.floats[n].item.channels.isdisjoint(item.channels))
                each.before.update(others)
                of_regions.append(number)
            read, written = ({_piece(region) for region in all} for all in (item.reads, item.writes))
            for piece in read | written:
                if piece in writers:
                    each.before.add(writers[piece])
            for piece in written:
                each.before.update(readers.pop(piece, ()))
                writers[piece] = number
            for piece in read - written:
                readers[piece].append(number)
            each.waits = any(region.memory == MEMORIES[Space.STATISTICS] for region in item.reads)
            for other in each.before:
                self.floats[other].behind.add(number)
                each.waits |= self.floats[other].waits
        for each in reversed(self.floats):
            behind = max((self.floats[other].height for other in each.behind), default=0)
            each.height = each.cycles + FOLLOW_CYCLES + behind

    def ordered(self) -> list[Held]:
        """First what waits for nobody; then by turns what the most cycles come after."""
        left = {number: len(each.before) for number, each in enumerate(self.floats)}
        found: list[int] = []
        while left:
            ready = [number for number, count in left.items() if not count]
            last = found[-1] if found else None
            best = min(ready, key=lambda number: self._rank(number, last))
            found.append(best)
            del left[best]
            for other in self.floats[best].behind:
                left[other] -= 1
        return [self.floats[number].item for number in found]

    def _rank(self, number: int, last: int | None) -> tuple[bool, int, int]:
        each = self.floats[number]
        wait = 0
        if last is not None:
            wait = FOLLOW_CYCLES if last in each.before else APART_CYCLES
        return each.waits, wait - each.height, number


def _piece(region: Region) -> object:
    """What it may share with other regions: a vector, or a field of a region of channels."""
    if region.start >= NAMED:
        return region.memory, region.start // FIELD
    if region.start >= VIRTUAL:
        return vector_of(region.start)
    return region.memory


def _cycles(item: Held, lanes: int) -> int:
    fields = item.fields
    elements = fields["n"] * fields["reps"]
    spaces = {fields.get(f"{name}_space", 0) for name in ("to", "a", "b", "c")}
    single = spaces & {Space.STATISTICS, Space.COEFFICIENTS}
    return elements if single else -(-elements // lanes)
