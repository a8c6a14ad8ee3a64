"""Words of local memory for vectors, by how long each lives: programs name them, this gives them places.

Channels' regions (`cpt.host.compiler.regions`) get theirs with them.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from cpt.host.compiler.builder import Builder, Region
from cpt.host.compiler.memory import PAIR
from cpt.host.compiler.regions import NAMED, Channels, channel_of, number_of, placed, renumbered
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import WORD_BYTES, Code, Word, decode

VIRTUAL = 1 << 40
"""Addresses from here on are vectors that have no place yet."""
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

    def renumbered(self, first: int, address: int, regions: int) -> Held:
        """With vectors that have ``first`` others before them, up to ``address``, and so many ``regions``."""
        beyond = address - VIRTUAL

        def moved(value: int) -> int:
            if value >= NAMED:
                return renumbered(value, regions)
            return value + beyond * (value >= VIRTUAL)

        return replace(
            self,
            reads=[_at(item, moved(item.start)) for item in self.reads],
            writes=[_at(item, moved(item.start)) for item in self.writes],
            fields={name: moved(value) for name, value in self.fields.items()},
            touched=frozenset(number + first for number in self.touched),
            channels=frozenset((memory, number + regions) for memory, number in self.channels),
        )


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
class Recorder:
    """Takes instructions as a `Builder` does and hands them on with places for their vectors and regions.

    ``first`` to ``stop``: local words for vectors. A vector has its words from the instruction that first
    names it to the one that last does, and a region its channels, until the last that does so of each memory.
    """

    config: ArrayConfig
    first: int
    stop: int
    held: list[Held] = field(default_factory=list)
    """Instructions so far."""
    _starts: list[int] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _channels: list[int] = field(default_factory=list)
    """How many every region has."""

    def name(self, count: int) -> int:
        """Address of a new vector of ``count`` words, rounded up to the lanes of the float engine."""
        count = _whole(count, self.config.float_lanes)
        start = self._end
        self._starts.append(start)
        self._counts.append(count)
        return start

    def region(self, count: int) -> int:
        """First of ``count`` channels of a new region."""
        self._channels.append(count)
        return channel_of(len(self._channels) - 1)

    def add(
        self, code: Code, reads: Iterable[Region] = (), writes: Iterable[Region] = (), **fields: int
    ) -> None:
        """One instruction, as `Builder.add` takes it."""
        reads, writes = list(reads), list(writes)
        regions = [item for item in (*reads, *writes) if item.start >= VIRTUAL]
        named = {*fields.values(), *(item.start for item in regions)}
        vectors = frozenset(self.vector(value) for value in named if VIRTUAL <= value < NAMED)
        channels = frozenset((item.memory, number_of(item.start)) for item in regions if item.start >= NAMED)
        self.held.append(Held(code, reads, writes, fields, vectors, channels))

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

    def beside(self, other: Recorder) -> tuple[Recorder, list[Held]]:
        """A list that has the vectors of both and no instruction yet; the other's instructions in it."""
        before = len(self._starts), self._end, len(self._channels)
        moved = [item.renumbered(*before) for item in other.held]
        starts = [start + self._end - VIRTUAL for start in other._starts]
        both = replace(
            self,
            held=[],
            _starts=[*self._starts, *starts],
            _counts=[*self._counts, *other._counts],
            _channels=[*self._channels, *other._channels],
        )
        return both, moved

    def program(self) -> Listing:
        """All instructions; raises `ContractError` where vectors or regions do not fit."""
        ways = [(vectors, regions) for regions in (False, True) for vectors in (False, True)]
        for way in ways:
            try:
                return self._placed(*way)
            except ContractError as error:
                failed = error
        raise failed

    @property
    def _end(self) -> int:
        """Of all vectors' addresses."""
        return self._starts[-1] + self._counts[-1] if self._starts else VIRTUAL

    def _placed(self, tight: bool, tight_regions: bool) -> Listing:
        """All instructions, with vectors and regions where they wait for few others, or ``tight``."""
        last = {number: place for place, item in enumerate(self.held) for number in item.touched}
        wanted = {each: place for place, item in enumerate(self.held) for each in item.channels}
        memories = defaultdict(list)
        for memory, number in wanted:
            memories[number].append(memory)
        lanes = self.config.float_lanes
        room, channels = (
            _Room(_whole(self.first, lanes), self.stop // lanes * lanes, tight),
            Channels(self.config.channels, tight_regions),
        )
        places: dict[int, int] = {}
        firsts: dict[int, int] = {}
        builder = Builder(self.config)

        def real(value: int) -> int:
            if value >= NAMED:
                return placed(value, firsts[number_of(value)])
            if value < VIRTUAL:
                return value
            number = self.vector(value)
            return places[number] + value - self._starts[number]

        for place, item in enumerate(self.held):
            over = set()
            for number in sorted(number for number in item.touched if number not in places):
                count = self._counts[number]
                ended = self._overwritten(item, number, last, place) if tight else None
                if ended is not None:
                    over.add(ended)
                found = room.take(count) if ended is None else places[ended]
                if found is None:
                    size = self.stop - self.first
                    raise ContractError(
                        f"a vector needs {count} words of local memory beside {size - room.free} of others; "
                        f"allowed: {size} in all, fewer images or channels"
                    )
                places[number] = found
            for number in sorted({number for _, number in item.channels if number not in firsts}):
                firsts[number] = channels.take(number, self._channels[number], memories[number])
            fields = {name: real(value) for name, value in item.fields.items()}
            reads, writes = (
                [_at(each, real(each.start)) for each in all] for all in (item.reads, item.writes)
            )
            builder.part = item.part
            builder.add(item.code, reads, writes, **fields)
            for number in item.touched:
                if last[number] == place and number not in over:
                    room.give(places[number], self._counts[number])
            for memory, number in item.channels:
                if wanted[memory, number] == place:
                    channels.give(number, memory)
        return Listing(builder.program, tuple(builder.parts))

    def _overwritten(self, item: Held, number: int, last: dict[int, int], place: int) -> int | None:
        """An operand of a FLOAT at ``place`` that nothing wants any more and that it walks as its result,
        vector ``number``: that may take its words."""
        fields = item.fields
        if item.code is not Code.FLOAT or fields["reps"] != 1 or not fields["to_moves"]:
            return None
        walks = defaultdict(set)
        for name in "abc":
            if VIRTUAL <= fields[name] < NAMED:
                walks[self.vector(fields[name])].add((fields[name], fields[f"{name}_moves"]))
        if fields["to"] != self._starts[number]:
            return None
        for other, walk in walks.items():
            alike = self._counts[other] == self._counts[number] and walk == {(self._starts[other], 1)}
            if alike and other != number and last[other] == place:
                return other
        return None

    def vector(self, address: int) -> int:
        """Number of the vector that has an address."""
        return bisect.bisect(self._starts, address) - 1
