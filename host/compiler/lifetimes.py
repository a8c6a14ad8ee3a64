"""Words of local memory for vectors, by how long each lives: programs name them, this gives them places.

Channels' regions (`cpt.host.compiler.regions`) get theirs with them.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cpt.host.compiler.builder import Builder, Region
from cpt.host.compiler.memory import PAIR
from cpt.host.compiler.regions import NAMED, Channels, channel_of, number_of, placed
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import WORD_BYTES, Code, Word, decode

VIRTUAL = 1 << 40
"""Addresses from here on are vectors that have no place yet."""
_STEP = 1 << 20
"""From one vector's words to the next one's."""
LARGE = 1024
"""Words from which on a vector is placed from the end of the room, where small ones do not split it."""

SMALL_SHARE = 4
"""Small vectors go round in the first of so many parts of the room, as long as they have room there."""


def _whole(words: int, lanes: int) -> int:
    """``words`` rounded up to what the float engine takes at once: whole pairs, as moves want them."""
    assert lanes % PAIR == 0
    return -(-words // lanes) * lanes


@dataclass(frozen=True)
class Held:
    """An instruction whose vectors have no places yet."""

    code: Code
    reads: list[Region]
    writes: list[Region]
    fields: dict[str, int]
    touched: frozenset[int]
    """Vectors by number."""
    channels: frozenset[tuple[str, int]]
    """Regions by memory and number."""
    part: str = ""
    """Of which list it is, in one that is woven of several."""

    def touches(self) -> Iterator[tuple[Region, bool]]:
        """What it reads and writes, but for vectors and regions, and whether it writes it."""
        for regions, written in ((self.reads, False), (self.writes, True)):
            yield from ((region, written) for region in regions if region.start < VIRTUAL)


def _at(region: Region, start: int) -> Region:
    """It from another address on."""
    return Region(region.memory, start, start + region.stop - region.start, region.units)


@dataclass(frozen=True)
class Listing:
    """A list of instructions."""

    words: bytes
    parts: tuple[str, ...]
    """Of every instruction: of which list it is, in one that is woven of several."""

    def decoded(self) -> list[Word]:
        """Its instructions."""
        return [decode(self.words[at : at + WORD_BYTES]) for at in range(0, len(self.words), WORD_BYTES)]


@dataclass
class _Room:
    """Free words, as holes [start, stop) in order; vectors go round, so that one is soon no other: small ones
    upwards, large ones downwards, but those always from the end where they are ``tight``."""

    start: int
    stop: int
    tight: bool
    _holes: list[tuple[int, int]] = field(init=False)
    _next: int = field(init=False)
    _below: int = field(init=False)

    def __post_init__(self) -> None:
        self._holes, self._next, self._below = [(self.start, self.stop)], self.start, self.stop

    @property
    def free(self) -> int:
        return sum(stop - start for start, stop in self._holes)

    def take(self, count: int) -> int | None:
        """First word of ``count`` that are free now; None where no hole is as long."""
        fitting = [hole for hole in self._holes if hole[1] - hole[0] >= count]
        if not fitting:
            return None
        if count >= LARGE:
            limit = self.stop if self.tight else self._below
            below = [hole for hole in fitting if min(hole[1], limit) - hole[0] >= count]
            hole = (below or fitting)[-1]
            self._below = at = (min(hole[1], limit) if below else hole[1]) - count
        else:
            later = [(max(start, self._next), stop) for start, stop in fitting]
            hole_at = next((i for i, (start, stop) in enumerate(later) if stop - start >= count), None)
            hole = fitting[hole_at or 0]
            at = hole[0] if hole_at is None else later[hole_at][0]
            self._next = (
                at + count
                if at + count < self.start + (self.stop - self.start) // SMALL_SHARE
                else self.start
            )
        self._holes.remove(hole)
        for part in ((hole[0], at), (at + count, hole[1])):
            if part[0] < part[1]:
                bisect.insort(self._holes, part)
        return at

    def give(self, at: int, count: int) -> None:
        """Words are free again."""
        stop = at + count
        index = bisect.bisect(self._holes, (at, stop))
        if index < len(self._holes) and self._holes[index][0] == stop:
            stop = self._holes.pop(index)[1]
        if index and self._holes[index - 1][1] == at:
            index -= 1
            at = self._holes.pop(index)[0]
        self._holes.insert(index, (at, stop))


@dataclass
class Names:
    """Vectors and regions by number: lists that share them can become one."""

    words: list[int] = field(default_factory=list)
    """How many every vector has."""
    channels: list[int] = field(default_factory=list)
    """How many every region has."""


@dataclass
class Recorder:
    """Takes instructions as a `Builder` does and hands them on with places for their vectors and regions.

    ``first`` to ``stop``: local words for vectors. A vector has its words from the instruction that first
    names it to the one that last does, and a region its channels, until the last that does so of each memory.
    """

    config: ArrayConfig
    first: int
    stop: int
    names: Names = field(default_factory=Names)
    part: str = ""
    """What its instructions are called in a list that is woven of several."""
    held: list[Held] = field(default_factory=list)
    """Instructions so far."""

    def name(self, count: int) -> int:
        """Address of a new vector of ``count`` words, rounded up to the lanes of the float engine."""
        self.names.words.append(_whole(count, self.config.float_lanes))
        return _start(len(self.names.words) - 1)

    def region(self, count: int) -> int:
        """First of ``count`` channels of a new region."""
        self.names.channels.append(count)
        return channel_of(len(self.names.channels) - 1)

    def add(
        self, code: Code, reads: Iterable[Region] = (), writes: Iterable[Region] = (), **fields: int
    ) -> None:
        """One instruction, as `Builder.add` takes it."""
        reads, writes = list(reads), list(writes)
        regions = [item for item in (*reads, *writes) if item.start >= VIRTUAL]
        named = {*fields.values(), *(item.start for item in regions)}
        vectors = frozenset(vector_of(value) for value in named if VIRTUAL <= value < NAMED)
        channels = frozenset((item.memory, number_of(item.start)) for item in regions if item.start >= NAMED)
        self.held.append(Held(code, reads, writes, fields, vectors, channels, self.part))

    @property
    def count(self) -> int:
        """Instructions so far."""
        return len(self.held)

    def wrote(self, region: Region, since: int) -> bool:
        """Whether an instruction from number ``since`` on writes into ``region``, not of local memory."""
        return any(
            item.memory == region.memory and item.meets(region)
            for held in self.held[since:]
            for item in held.writes
        )

    def require_room(self) -> None:
        """Raises `ContractError` where more words live at once than there are, wherever they lie."""
        lives, size, live = _Lives(self), self.stop - self.first, 0
        for place, item in enumerate(self.held):
            for number in lives.begin(place):
                count = 0 if number in lives.over else self.names.words[number]
                if live + count > size:
                    raise _no_room(count, live, size)
                live += count
            live -= sum(self.names.words[number] for number in lives.end(place, item))

    def program(self) -> Listing:
        """All instructions; raises `ContractError` where vectors or regions do not fit."""
        lives = _Lives(self)
        ways = [(vectors, regions) for regions in (False, True) for vectors in (False, True)]
        for way in ways:
            try:
                return self._built(*_Places(self, lives, *way).found())
            except ContractError as error:
                failed = error
        raise failed

    def _built(self, vectors: dict[int, int], regions: dict[int, int]) -> Listing:
        """All instructions, with the places of their vectors and regions."""
        builder = Builder(self.config)

        def real(value: int) -> int:
            if value < VIRTUAL:
                return value
            if value >= NAMED:
                return placed(value, regions[number_of(value)])
            return vectors[vector_of(value)] + value % _STEP

        for item in self.held:
            fields = {name: real(value) for name, value in item.fields.items()}
            reads, writes = (
                [_at(each, real(each.start)) for each in all] for all in (item.reads, item.writes)
            )
            builder.part = item.part
            builder.add(item.code, reads, writes, **fields)
        return Listing(builder.program, tuple(builder.parts))


class _Lives:
    """Where vectors and regions of a list are named first and last."""

    def __init__(self, recorder: Recorder) -> None:
        held, words = recorder.held, recorder.names.words
        first = {number: place for place, item in reversed(list(enumerate(held))) for number in item.touched}
        self._last = {number: place for place, item in enumerate(held) for number in item.touched}
        self._begin: dict[int, list[int]] = defaultdict(list)
        for number in sorted(first):
            self._begin[first[number]].append(number)
        self.wanted = {each: place for place, item in enumerate(held) for each in item.channels}
        """Last instruction that names a region, by memory and number."""
        self.over: dict[int, int] = {}
        """Vectors that may take the words of an operand that they are the last to see, and that operand."""
        for place, numbers in self._begin.items():
            for number in numbers:
                ended = self._overwritten(held[place], number, place, words)
                if ended is not None:
                    self.over[number] = ended
        self._taken = set(self.over.values())

    def begin(self, place: int) -> list[int]:
        """Vectors that an instruction is the first to name."""
        return self._begin.get(place, [])

    def end(self, place: int, item: Held, *, tight: bool = True) -> list[int]:
        """Vectors whose words are free behind an instruction; ``tight``: others have taken some of them."""
        return [
            number
            for number in item.touched
            if self._last[number] == place and not (tight and number in self._taken)
        ]

    def _overwritten(self, item: Held, number: int, place: int, words: Sequence[int]) -> int | None:
        """An operand of a FLOAT at ``place`` that nothing wants any more and that it walks as its result,
        vector ``number``: that may take its words."""
        fields = item.fields
        if item.code is not Code.FLOAT or fields["reps"] != 1 or not fields["to_moves"]:
            return None
        walks = defaultdict(set)
        for name in "abc":
            if VIRTUAL <= fields[name] < NAMED:
                walks[vector_of(fields[name])].add((fields[name], fields[f"{name}_moves"]))
        if fields["to"] != _start(number):
            return None
        for other, walk in walks.items():
            alike = words[other] == words[number] and walk == {(_start(other), 1)}
            if alike and other != number and self._last[other] == place:
                return other
        return None


class _Places:
    """Places for vectors and regions, where they wait for few others, or ``tight``."""

    def __init__(self, recorder: Recorder, lives: _Lives, tight: bool, tight_regions: bool) -> None:
        lanes = recorder.config.float_lanes
        self.recorder, self.lives, self.tight = recorder, lives, tight
        self.size = recorder.stop - recorder.first
        self._room = _Room(_whole(recorder.first, lanes), recorder.stop // lanes * lanes, tight)
        self._channels = Channels(recorder.config.channels, tight_regions)
        self._vectors: dict[int, int] = {}
        self._regions: dict[int, int] = {}
        self._memories = defaultdict(list)
        for memory, number in lives.wanted:
            self._memories[number].append(memory)

    def found(self) -> tuple[dict[int, int], dict[int, int]]:
        """First word of each vector and first channel of each region; raises `ContractError`."""
        words, lives = self.recorder.names.words, self.lives
        for place, item in enumerate(self.recorder.held):
            for number in lives.begin(place):
                self._vectors[number] = self._word(number, words[number])
            for number in sorted({number for _, number in item.channels if number not in self._regions}):
                count = self.recorder.names.channels[number]
                self._regions[number] = self._channels.take(number, count, self._memories[number])
            for number in lives.end(place, item, tight=self.tight):
                self._room.give(self._vectors[number], words[number])
            for memory, number in item.channels:
                if lives.wanted[memory, number] == place:
                    self._channels.give(number, memory)
        return self._vectors, self._regions

    def _word(self, number: int, count: int) -> int:
        ended = self.lives.over.get(number) if self.tight else None
        if ended is not None:
            return self._vectors[ended]
        found = self._room.take(count)
        if found is None:
            raise _no_room(count, self.size - self._room.free, self.size)
        return found


def _start(number: int) -> int:
    """Address of vector ``number``."""
    return VIRTUAL + number * _STEP


def vector_of(address: int) -> int:
    """Number of the vector that has an address."""
    return (address - VIRTUAL) // _STEP


def _no_room(count: int, others: int, size: int) -> ContractError:
    return ContractError(
        f"a vector needs {count} words of local memory beside {others} of others; "
        f"allowed: {size} in all, fewer images or channels"
    )
