"""Instructions in order, each with the waits that its reads and writes need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import LOCAL_WORDS, Op
from cpt.hw.contract.passes import units
from cpt.hw.contract.step import ENGINES, Code, Engine, Word, encode

WAITS = 2
"""Marks that an instruction can wait for."""

LOCAL_ROOM = LOCAL_WORDS - 8
"""Local words for vectors, whole rows of the float engine's; what only waits copies the word behind them to
itself."""

PIECES = {"local": 128, "coefficients": 32, "statistics": 32, "scratch": 1024}
MEMORY_PIECE = 1 << 16
"""Addresses of a piece of each memory, by which accesses are found."""


def piece_size(memory: str) -> int:
    """Addresses of a piece of ``memory``."""
    return PIECES.get(memory, MEMORY_PIECE)


@dataclass(frozen=True)
class Region:
    """A piece of one memory: ``memory`` names it, ``start`` to ``stop`` are its own addresses."""

    memory: str
    start: int
    stop: int
    units: int = 0
    """Of the instruction that reads or writes it, behind which it is done with it; 0: all of them."""

    @property
    def pieces(self) -> list[tuple[str, int]]:
        """The pieces of its memory that it touches."""
        size = piece_size(self.memory)
        first, behind = self.start // size, -(-self.stop // size)
        if behind == first + 1:
            return [(self.memory, first)]
        return [(self.memory, piece) for piece in range(first, behind)]

    def meets(self, other: Region) -> bool:
        """Whether both share an address; both are of one memory."""
        return self.start < other.stop and other.start < self.stop


class _Access(NamedTuple):
    """Of one piece of a memory: what of it, by whom, and the mark behind which that is done."""

    start: int
    stop: int
    engine: Engine
    mark: int
    writes: bool


Marks = dict[Engine, int]
_ONLY_WAITS = {"op": int(Op.COPY), "n": 1, "reps": 1, "to": LOCAL_ROOM, "a": LOCAL_ROOM}


@dataclass
class Builder:
    """A list of instructions.

    `add` takes the regions that an instruction reads and writes and finds whom it must wait for: who wrote
    what it reads, and who read or wrote what it writes, other engines alone, since each works in order.
    Every wait names an instruction before, so that the program cannot lock up.
    """

    config: ArrayConfig
    words: list[bytes] = field(default_factory=list)
    marks: Marks = field(default_factory=lambda: dict.fromkeys(Engine, 0))
    """What every engine will have counted at the end."""
    part: str = ""
    """What instructions are added for now; `parts` says it of each."""
    parts: list[str] = field(default_factory=list)
    _accesses: dict[tuple[str, int], list[_Access]] = field(default_factory=dict)
    """By piece of a memory, so that few are looked at."""
    _known: dict[Engine, Marks] = field(default_factory=lambda: {engine: {} for engine in Engine})
    """Marks that an engine's last instruction is known to come after."""
    _before: dict[tuple[Engine, int], Marks] = field(default_factory=dict)

    def add(
        self,
        code: Code,
        reads: Iterable[Region] = (),
        writes: Iterable[Region] = (),
        **fields: int,
    ) -> None:
        """One instruction."""
        reads, writes = list(reads), list(writes)
        engine = ENGINES[code]
        waits = self._needed(engine, reads, writes)
        while len(waits) > WAITS:
            first, second, *_ = waits
            joined = {each: waits.pop(each) for each in (first, second)}
            if engine is not Engine.FLOAT:
                joined = {each: mark for each, mark in joined.items() if each is not Engine.FLOAT}
            self._emit(Code.FLOAT, joined, [], [], _ONLY_WAITS)
            if engine is not Engine.FLOAT:
                waits[Engine.FLOAT] = self.marks[Engine.FLOAT]
        self._emit(code, waits, reads, writes, fields)

    @property
    def program(self) -> bytes:
        """All words."""
        return b"".join(self.words)

    @property
    def count(self) -> int:
        """Instructions so far."""
        return len(self.words)

    def _needed(self, engine: Engine, reads: list[Region], writes: list[Region]) -> Marks:
        waits: Marks = {}
        for regions, written in ((reads, False), (writes, True)):
            for region in regions:
                start, stop = region.start, region.stop
                for piece in region.pieces:
                    for begin, end, other, mark, writes_it in self._accesses.get(piece, ()):
                        if other is engine or not (written or writes_it) or begin >= stop or start >= end:
                            continue
                        if mark > waits.get(other, 0):
                            waits[other] = mark
        known = self._known[engine]
        waits = {each: mark for each, mark in waits.items() if mark > known.get(each, 0)}
        for each, mark in list(waits.items()):
            others = [self._before[other, count] for other, count in waits.items() if other is not each]
            if any(clock.get(each, 0) >= mark for clock in others):
                del waits[each]
        return waits

    def _emit(
        self,
        code: Code,
        waits: Marks,
        reads: list[Region],
        writes: list[Region],
        fields: dict[str, int],
    ) -> None:
        engine = ENGINES[code]
        for index, (each, mark) in enumerate(waits.items()):
            fields = {**fields, f"wait{index}_engine": int(each), f"wait{index}_first": mark}
        word = encode(code, **fields)
        self.words.append(word)
        self.parts.append(self.part)
        before = self.marks[engine]
        self.marks[engine] += units(self.config, Word(code, fields))
        known = self._known[engine]
        for each, mark in waits.items():
            for other, count in {**self._before[each, mark], each: mark}.items():
                known[other] = max(known.get(other, 0), count)
        clock = dict(known)
        self._before[engine, self.marks[engine]] = clock
        for regions, written in ((reads, False), (writes, True)):
            for region in regions:
                mark = before + region.units if region.units else self.marks[engine]
                self._before[engine, mark] = clock
                self._access(region, engine, mark, written)

    def _access(self, region: Region, engine: Engine, mark: int, written: bool) -> None:
        """One more; those that it stands for are forgotten."""
        size = piece_size(region.memory)
        for piece in region.pieces:
            low = piece[1] * size
            start, stop = max(region.start, low), min(region.stop, low + size)
            kept = [
                item
                for item in self._accesses.get(piece, ())
                if item[0] < start or item[1] > stop or not (written or (item[2] is engine and not item[4]))
            ]
            kept.append(_Access(start, stop, engine, mark, written))
            self._accesses[piece] = kept
