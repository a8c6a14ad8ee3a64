"""BRING and STORE in time: runs of memory in pieces, an instruction's named while the one before moves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cpt.hw.contract.config import BEAT_BYTES, TAPS
from cpt.hw.contract.floats import Space
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Code, Engine, Word
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.control.guard import Guard
from cpt.hw.move.bring import AHEAD
from cpt.hw.move.stretches import ASKED_BEATS, PIECE_BEATS
from cpt.sim.step.costs import Costs
from cpt.sim.step.floats import Operand, operand
from cpt.sim.step.timing.ports import Master, Writer
from cpt.sim.step.timing.run import MEMORY, Process, Run, later

BEGIN_CYCLES = 4
"""From a start to the first piece at its guard."""
PIECE_CYCLES = Guard.latency_cycles + 1
"""From one piece to the next at the guard."""
NAMED_CYCLES = 3
"""From the last piece of an instruction to the start of the next."""
WRITTEN_CYCLES = 9
"""From the last beat at the read master to the mark."""
BEATS_CYCLES = 9
"""From a start to the first beat for the write master, less what the master itself takes; a read of scratch
waits a cycle more."""
ANSWER_CYCLES = 4
"""From an answer at the engine to the mark."""
CODES_CYCLES = 61
"""Of a K step of PACK, beside a cycle for each code: what begins and ends it."""
PACK_CYCLES = 19
"""Of the first one more."""


def bring(run: Run, costs: Costs, master: Master, stream: tuple[Master, Master]) -> Process:
    """Runs are asked for while words of those before come, where they are of the same kind.

    16-bit numbers come through both ports by turns, of ``stream``.
    """
    turn, floats = 1, Floats(run)
    ready, engine, named, kind, written = 0, Engine.BRING, 0, None, 0
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, ready)
        gate, why = yield from run.gate(word, 0, taken + 1)
        begin, why = later((named + NAMED_CYCLES, engine.name), (gate, why))
        marks = run.marks[engine]
        if kind not in (None, word.kind) or number >= AHEAD:
            begin = max(begin, marks[-1 if kind != word.kind else number - AHEAD] + 1)
        kind = word.kind
        run.begin(moment, begin, why, taken + 5)
        ready, at, end = begin + 1, begin + BEGIN_CYCLES, written
        beats_of_word, pace = unit(costs, word)
        for address, beats in pieces(costs, word):
            yield at
            reader = stream[turn] if word.kind == Bring.SCRATCH else master
            turn ^= word.kind == Bring.SCRATCH
            moved = reader.read(at + Guard.latency_cycles, address, beats)
            first = moved[0][0] - moved[0][1] + 1
            # What comes is written a unit after the other; FLOAT writes local memory first.
            came, cycles = max(end, first), beats // beats_of_word * pace
            end = floats.after(came, cycles) if word.kind == Bring.LOCAL else came + cycles
            run.spent(moment, at, came, MEMORY)
            run.spent(moment, came, came + cycles)
            run.spent(moment, came + cycles, end, Engine.FLOAT.name)
            run.spent(moment, end, moved[-1][0] + 1, MEMORY)
            end = max(end, moved[-1][0] + 1)
            named = at
            at = max(at + PIECE_CYCLES, reader.free - Guard.latency_cycles)
            run.read(moment, beats)
        run.worked(moment, end - max(begin, written))
        written = end
        run.mark(moment, end + WRITTEN_CYCLES)


def store(run: Run, costs: Costs, writer: Writer) -> Process:
    """What is sent is answered for; the next begins when all of one is named, or a PACK answered."""
    ready, engine, named, sent, kind, before = 0, Engine.STORE, 0, 0, None, 0
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, ready)
        gate, why = yield from run.gate(word, 0, taken + 1)
        begin, why = later((named + NAMED_CYCLES, engine.name), (gate, why))
        yield begin
        if kind not in (None, word.kind):
            begin = max(begin, sent + NAMED_CYCLES)
        kind = word.kind
        run.begin(moment, begin, why, taken + 5)
        ready, end = begin + 1, begin
        if kind == Store.PACK:
            beats = run.config.group_bytes("a") // BEAT_BYTES
            bits = costs.bits(word)
            for step in range(-(-word.runs // run.config.rows) * word.ksteps):
                at = end + TAPS * run.config.group_channels * run.config.rows + CODES_CYCLES
                at += PACK_CYCLES * (not step)
                run.spent(moment, end, at + bits * beats)
                for _ in range(bits):
                    yield at + Guard.latency_cycles
                    end = writer.write(at + Guard.latency_cycles, step * beats * BEAT_BYTES, beats, at + 4)
                    at = max(at + PIECE_CYCLES, writer.free - Guard.latency_cycles)
                end -= writer.port.memory.write_cycles * (step < word.ksteps - 1)
                run.wrote(moment, bits * beats)
            run.spent(moment, begin, end, MEMORY)
            ready = named = sent = end
        else:
            at, there = begin + BEGIN_CYCLES, begin + BEATS_CYCLES + (word.kind != Store.LOCAL)
            for address, beats in pieces(costs, word):
                yield at + Guard.latency_cycles
                first = there
                if word.kind == Store.LOCAL:
                    first = max(there, at)
                    there = first + beats
                end = writer.write(at + Guard.latency_cycles, address, beats, first)
                gone = writer.port.free
                run.spent(moment, first, gone - beats, MEMORY)
                run.spent(moment, gone - beats, gone)
                run.spent(moment, gone, end, MEMORY)
                at = max(at + PIECE_CYCLES, writer.free - Guard.latency_cycles)
                run.wrote(moment, beats)
            sent = writer.free
            named = max(begin + BEGIN_CYCLES, sent - OUTWARD_BEATS)
        end += ANSWER_CYCLES
        run.worked(moment, end - max(begin, before))
        before = end
        run.mark(moment, end)


OUTWARD_BEATS = 8
"""Beats that wait behind the reads of a STORE, about."""


class Floats:
    """What FLOAT writes to local memory, as far as its instructions have begun."""

    def __init__(self, run: Run) -> None:
        self.moments, self.lanes = run.of(Engine.FLOAT), run.config.float_lanes
        self.first = 0
        """Instructions before are over."""

    def after(self, begin: int, writes: int) -> int:
        """Cycle behind so many writes of BRING from ``begin`` on, which take what FLOAT leaves."""
        cycle, left = float(begin), float(writes)
        for number in range(self.first, len(self.moments)):
            moment = self.moments[number]
            if not moment.ended:
                break
            last = moment.ended - LAST_CYCLES
            if last <= cycle:
                self.first = number + 1
                continue
            if moment.begun > cycle:
                before = min(moment.begun - cycle, left)
                cycle, left = cycle + before, left - before
            if not left:
                break
            share = 1 - min(local_writes(moment.word, self.lanes) / (last - moment.begun), 1)
            part = min((last - cycle) * share, left)
            cycle, left = (cycle + part / share if left == part and share else last), left - part
        return int(cycle + left)


LAST_CYCLES = 16
"""From FLOAT's last read to its mark, about."""


def local_writes(word: Word, lanes: int) -> int:
    """Writes of local memory of a FLOAT: results that touch are joined to rows of words."""
    to = operand(word, "to")
    if to.space is not Space.LOCAL or not to.moves:
        return 0
    return rows_of(to, word, lanes)


def rows_of(item: Operand, word: Word, lanes: int) -> int:
    """Rows of words that an operand which moves touches, repetition by repetition."""
    size = 2 * lanes
    firsts = (item.address + item.stride * np.arange(word.reps)) % size
    return int((-(-(firsts + word.n) // size)).sum())


def unit(costs: Costs, word: Word) -> tuple[int, int]:
    """Beats of a unit that is moved, and cycles that it takes on chip."""
    if word.kind == Bring.SCRATCH:
        # A cycle for each part of a word, one more for two.
        parts = costs.word_bytes // STREAM_BYTES
        return costs.word_bytes // BEAT_BYTES, parts + (parts == 2)
    return 1, 1


def pieces(costs: Costs, word: Word) -> Iterator[tuple[int, int]]:
    """Address and beats of each piece of a run."""
    total = costs.of(word)
    most = ASKED_BEATS if word.code is Code.BRING else PIECE_BEATS
    beats = (total.read + total.written) // word.runs // BEAT_BYTES
    for number in range(word.runs):
        at, left = word.offset + number * word.stride, beats
        while left > 0:
            piece = min(left, most)
            yield at, piece
            at, left = at + piece * BEAT_BYTES, left - piece
