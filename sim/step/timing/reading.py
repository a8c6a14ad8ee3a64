"""Runs of planes in time: cut in parts, asked for when a port's queue has room, taken word by word."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.pieces import parts
from cpt.sim.step.timing.ports import Master
from cpt.sim.step.timing.run import Wish, known

WORD_BEATS = STREAM_BYTES // BEAT_BYTES
CAME_CYCLES = 4
"""From a word at its master to a place of the queue that it leaves at once."""
ROOM_CYCLES = 6
"""From a word that leaves its queue to the part that is asked for in its place."""


class Part(NamedTuple):
    """Of a run."""

    port: int
    word: int
    """The first of all words that are read."""
    words: int
    first: int
    """When its first word is at the master."""
    last: int


class Planes(NamedTuple):
    """A run: its first word, its first part, and the words of each."""

    word: int
    part: int
    words: int


@dataclass
class Reading:
    """What an engine reads through its ports by turns, and takes in order.

    ``ahead``: words that leave a port's queue before they are taken.
    """

    masters: tuple[Master, ...]
    ahead: int
    turn: int = 0
    parts: list[Part] = field(default_factory=list)
    runs: list[Planes] = field(default_factory=list)
    words: int = 0
    """That are asked for."""
    counts: list[int] = field(default_factory=list)
    """Words that are taken, after each step .."""
    times: list[int] = field(default_factory=list)
    """.. and when."""
    held: list[deque[tuple[int, int]]] = field(init=False)
    """Of each port's parts: how many of its words are asked for with it, and its number in ``parts``."""
    asked: list[int] = field(init=False)
    """Words that each port is asked for."""

    def __post_init__(self) -> None:
        self.held = [deque() for _ in self.masters]
        self.asked = [0 for _ in self.masters]

    def cut(self, words: int, address: int) -> Iterator[tuple[int, int]]:
        """Words and address of each part of a run, which is read next."""
        size = words // parts(words)
        self.runs.append(Planes(self.words, len(self.parts), size))
        for at in range(0, words, size):
            yield size, address + at * STREAM_BYTES

    def room(self, words: int) -> Generator[Wish, None, int]:
        """When the port whose turn it is has room for so many more."""
        port = self.turn
        most = self.asked[port] + words - MACHINE.reader_words
        if most <= 0:
            return 0
        held = self.held[port]
        while held[0][0] < most:
            held.popleft()
        last, number = held[0]
        part = self.parts[number]
        word = part.word + part.words - 1 - (last - most)
        return (yield from self._left(part, word)) + ROOM_CYCLES

    def read(self, cycle: int, address: int, words: int) -> None:
        """The next part, through the port whose turn it is."""
        port = self.turn
        moved = self.masters[port].read(cycle, address, words * WORD_BEATS)
        self.asked[port] += words
        self.held[port].append((self.asked[port], len(self.parts)))
        first = moved[0][0] - moved[0][1] + WORD_BEATS
        self.parts.append(Part(port, self.words, words, first, moved[-1][0]))
        self.words += words
        self.turn = (port + 1) % len(self.masters)

    def came(self, run: int, word: int) -> Generator[Wish, None, int]:
        """When word ``word`` of run ``run`` is at its master."""
        planes = yield from known(self.runs, run)
        number, behind = divmod(word, planes.words)
        part = yield from known(self.parts, planes.part + number)
        return min(part.first + WORD_BEATS * behind, part.last)

    def take(self, run: int, word: int, cycle: int) -> None:
        """Word ``word`` of run ``run``, and all before, are taken by then."""
        self.counts.append(self.runs[run].word + word + 1)
        self.times.append(cycle)

    def _left(self, part: Part, word: int) -> Generator[Wish, None, int]:
        """When ``word``, which is of ``part``, has left its queue."""
        came = min(part.first + WORD_BEATS * (word - part.word), part.last) + CAME_CYCLES
        before = word - self.ahead
        if before < 0:
            return came
        while not (self.counts and self.counts[-1] > before):
            yield self.counts, len(self.counts)
        at = bisect_right(self.counts, before)
        return max(came, self.times[at] - (self.counts[at] - 1 - before))
