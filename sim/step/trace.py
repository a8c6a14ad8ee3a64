"""Every cycle of a list, engine by engine: at work, waiting for whom, or done; of the model and of the RTL.

An engine has instructions under way beside each other: it takes one while the one before is at work. A cycle
belongs to work if there is any, else to a wait of the earliest instruction that has one, else to the engine's
own latency: what it prepares, and the way of results to its mark. Behind its last mark an engine is idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Engine
from cpt.hw.program.runner import queue_instructions
from cpt.sim.step.timeline import Timing
from cpt.sim.step.timing.program import DISPATCH_CYCLES, ROOM_CYCLES
from cpt.sim.step.timing.run import MARK_CYCLES, PACKERS, PROGRAM, WAITS, WORK, Moment, Spell

if TYPE_CHECKING:
    from cpt.sim.step.observed import Seen, SeenList

BUSY, OWN, IDLE, UNDER_WAY = "busy", "latency", "idle", "under way"
"""What an engine does that waits for nobody; ``under way``: an instruction of which no more is known."""
STATES = (BUSY, UNDER_WAY, OWN, IDLE)
NONE = -1
"""In place of an instruction's number."""


class Span(NamedTuple):
    """Cycles of a track in which one thing is so."""

    begin: int
    end: int
    what: str
    """One of `STATES`, else what is waited for: an engine's name, ``program``, ``memory``, ``packers``."""
    number: int
    """Of the instruction, in the list, or `NONE`."""


@dataclass(frozen=True)
class Track:
    """An engine, or the program: spans from 0 to the list's end without a gap."""

    name: str
    spans: list[Span]

    def sums(self) -> Counter[str]:
        """Cycles of each thing."""
        found: Counter[str] = Counter()
        for span in self.spans:
            found[span.what] += span.end - span.begin
        return found


def of_model(timing: Timing) -> list[Track]:
    """The engines of a list that was timed with a log, and the program."""
    assert timing.log is not None
    tracks = [program(timing.moments, timing.cycles)]
    for engine in Engine:
        moments = [moment for moment in timing.moments if moment.engine is engine]
        spells = timing.log.spells[engine]
        tracks.append(_track(engine, moments, [*spells, *_writing(moments, spells)], timing.cycles, OWN))
    return tracks


def of_rtl(seen: SeenList) -> list[Track]:
    """The same of a list on the RTL: instructions, and waits as far as pushes and marks tell of them."""
    pairs = list(enumerate(seen.instructions))
    marks: dict[Engine, list[int]] = {engine: [] for engine in Engine}
    for _, one in pairs:
        marks[one.engine] += one.marks
    moments = [
        Moment(one.word, one.engine, number, one.pushed, one.taken, 0, one.marks[0], one.marks[-1])
        for number, one in pairs
    ]
    tracks = [program(moments, seen.cycles)]
    for engine in Engine:
        mine = [(number, one) for number, one in pairs if one.engine is engine]
        found = [moment for moment in moments if moment.engine is engine]
        tracks.append(_track(engine, found, list(_told(mine, marks)), seen.cycles, UNDER_WAY))
    return tracks


def program(moments: Sequence[Moment], cycles: int) -> Track:
    """The program: it pushes instructions, and waits where an engine's queue is full."""
    spells, behind = [], 0
    taken: dict[Engine, list[int]] = {engine: [] for engine in Engine}
    for moment in moments:
        queue = taken[moment.engine]
        full = len(queue) >= queue_instructions(moment.engine)
        room = queue[-queue_instructions(moment.engine)] + ROOM_CYCLES if full else 0
        if room > behind:
            spells.append(Spell(behind, moment.pushed, moment.number, moment.engine.name))
        spells.append(Spell(moment.pushed, moment.pushed + DISPATCH_CYCLES, moment.number, WORK))
        behind = moment.pushed + DISPATCH_CYCLES
        queue.append(moment.taken)
    ends = [(moment.pushed + DISPATCH_CYCLES, moment.number) for moment in moments]
    return Track(PROGRAM, _painted(ends, [], spells, cycles))


def _track(
    engine: Engine, moments: Sequence[Moment], spells: Sequence[Spell], cycles: int, between: str
) -> Track:
    """``between``: what is so from an instruction's take to its mark, where no spell says more."""
    ends = [(moment.ended, moment.number) for moment in moments]
    spells = [spell._replace(why=OWN) if spell.why == engine.name else spell for spell in spells]
    base = []
    if between != OWN:
        base = [Spell(moment.taken, moment.ended, moment.number, between) for moment in moments]
    return Track(engine.name, _painted(ends, base, spells, cycles))


def _writing(moments: Iterable[Moment], spells: Iterable[Spell]) -> Iterable[Spell]:
    """From an APPLY's last slot to its mark: its codes are packed and written."""
    last = {spell.number: spell.end for spell in spells if spell.why == WORK}
    for moment in moments:
        if moment.engine is Engine.APPLY and moment.written:
            yield Spell(last[moment.number], moment.ended, moment.number, PACKERS)


def _told(seen: Iterable[tuple[int, Seen]], marks: dict[Engine, list[int]]) -> Iterable[Spell]:
    """Waits of an engine on the RTL for the program, and for marks that its instructions' words name."""
    ended = 0
    for number, one in seen:
        empty = one.taken - one.pushed <= MACHINE.queue_cycles
        yield Spell(ended, one.taken, number, PROGRAM if empty else OWN)
        begin = max(ended, one.taken)
        for unit, mark in enumerate(one.marks):
            shown, why = _gate(one, unit, marks)
            yield Spell(begin, min(shown + MARK_CYCLES, mark), number, why)
            begin = mark
        ended = max(ended, one.marks[-1])


def _gate(one: Seen, unit: int, marks: dict[Engine, list[int]]) -> tuple[int, str]:
    """When the last mark was shown that a unit waits for, and whose it is."""
    found, values = (0, OWN), one.word.values
    for index in WAITS:
        engine = values[f"wait{index}_engine"]
        place = values[f"wait{index}_first"] + unit * values[f"wait{index}_step"]
        if engine and place > 0:
            found = max(found, (marks[Engine(engine)][place - 1], Engine(engine).name))
    return found


def _painted(
    ends: Sequence[tuple[int, int]], base: Iterable[Spell], spells: Iterable[Spell], cycles: int
) -> list[Span]:
    """Spans of all cycles: what comes first in work, then in waits in order of instructions, then ``base``.

    ``ends``: when each instruction's last unit was in the mark, and its number.
    """
    whats = [*STATES]
    codes: dict[str, int] = {what: code for code, what in enumerate(whats)}
    number, what = np.full(cycles, NONE, np.int32), np.full(cycles, codes[IDLE], np.int16)
    behind = 0
    for end, which in ends:
        number[behind:end], what[behind:end] = which, codes[OWN]
        behind = max(behind, end)
    waits = sorted((spell for spell in spells if spell.why != WORK), key=lambda spell: spell.number)
    work = (spell for spell in spells if spell.why == WORK)
    for spell in (*reversed([*base]), *reversed(waits), *work):
        reason = spell.why or BUSY
        if reason not in codes:
            codes[reason] = len(whats)
            whats.append(reason)
        number[spell.begin : spell.end], what[spell.begin : spell.end] = spell.number, codes[reason]
    edges = np.flatnonzero((np.diff(number) != 0) | (np.diff(what) != 0)) + 1
    begins = [0, *edges.tolist()] if cycles else []
    return [
        Span(begin, end, whats[what[begin]], int(number[begin]))
        for begin, end in zip(begins, [*begins[1:], cycles], strict=True)
    ]


def coarser(track: Track) -> Track:
    """A track whose spans of one instruction that touch are put in order: work, then each wait in one piece.

    The sums stay; where in an instruction it waited does not.
    """
    found: list[Span] = []
    at = 0
    while at < len(track.spans):
        begin, number = track.spans[at].begin, track.spans[at].number
        sums: Counter[str] = Counter()
        while at < len(track.spans) and track.spans[at].number == number:
            span = track.spans[at]
            sums[span.what] += span.end - span.begin
            at += 1
        for what in sorted(sums, key=lambda what: (what != BUSY, what)):
            found.append(Span(begin, begin + sums[what], what, number))
            begin += sums[what]
    return Track(track.name, found)
