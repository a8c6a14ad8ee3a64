"""Cycles that a FLOAT takes in the float engine, where no read has to wait for another engine's."""

from __future__ import annotations

from cpt.hw.channel.arithmetic import INTERVALS
from cpt.hw.channel.engine import EMPTY_CYCLES, READ_CYCLES, apart_cycles, behind_cycles
from cpt.hw.channel.plan import CHAINS, PACED_STEPS, Planner
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.step import SUM_PARTS, Word
from cpt.sim.step.floats import FIXED_SPACES, Operand, operand

SETUP_CYCLES = 12
"""From the cycle after an instruction is taken to its begin: slots looked up, numbers put in place."""
PLAN_CYCLES = Planner.latency_cycles + 1
"""The same where finding the operands' ends takes longer: a cycle more for each bit of ``reps - 1``."""


LEAD_CYCLES = READ_CYCLES
"""The next instruction begins so long before the mark of the one before it, at the earliest."""


def begin_cycles(word: Word) -> int:
    """From the cycle after the instruction is taken to its begin, where its marks are there."""
    return max(SETUP_CYCLES, PLAN_CYCLES + max(word.reps - 1, 0).bit_length())


class Queue:
    """When instructions are taken, begin and end, each prepared while the one before it is at work."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.ready = 0
        """Cycle in which the next can be taken."""
        self._clear = self._clear_apart = 0
        self._before: Word | None = None

    def run(self, word: Word, taken: int, gate: int = 0) -> tuple[int, int]:
        """Cycles of its begin and its mark; ``gate``: the cycle in which its marks are there."""
        empty = not word.n * word.reps
        clear = self._clear if empty or self._follows(word) else self._clear_apart
        begin = max(taken + 1 + begin_cycles(word), gate, clear)
        mark = begin + float_cycles(word, self.lanes) - begin_cycles(word)
        self.ready = begin + 1
        if not empty:
            last = mark - 1 - behind_cycles(Op(word.op), self.lanes)
            self._clear = mark - LEAD_CYCLES
            self._clear_apart = last + apart_cycles(Op(word.op), self.lanes) + 1 - READ_CYCLES
            self._before = word
        return begin, mark

    def _is_wide(self, word: Word) -> bool:
        op = Op(word.op)
        return _wide(word, op, self.lanes, _waits(word, op)[0])

    def _follows(self, word: Word) -> bool:
        """Whether it may read what the one before is still about to write, other than at its own pace."""
        before = self._before
        if before is None:
            return False
        to = operand(before, "to")
        paced = (
            before.reps == word.reps == 1
            and before.n == word.n > (PACED_STEPS - 1) * self.lanes
            and bool(to.moves)
            and all(self._is_wide(each) for each in (before, word))
        )
        for source in (operand(word, name) for name in "abc"):
            apart = source.space is Space.LOCAL and (
                _last(source, word) < to.address or _last(to, before) < source.address
            )
            if source.space is to.space and not apart and not (paced and source == to):
                return True
        return False


def work_cycles(word: Word, lanes: int) -> int:
    """From the mark of the instruction before to its own where it was prepared in time."""
    return float_cycles(word, lanes) - begin_cycles(word) - LEAD_CYCLES


def float_cycles(word: Word, lanes: int) -> int:
    """From the cycle after the instruction is taken to its mark, alone, its own waits not counted.

    ``lanes``: elements that the engine takes at once.
    """
    begin = begin_cycles(word)
    if not word.n * word.reps:
        return begin + 1 + EMPTY_CYCLES
    op, sources = Op(word.op), [operand(word, name) for name in "abc"]
    serial, serial_rows = _waits(word, op)
    interval = INTERVALS.get(op, 1)
    behind = behind_cycles(op, lanes)
    memory = [
        source.space not in FIXED_SPACES and (source.space is not Space.SUMS or not number)
        for number, source in enumerate(sources)
    ]
    moves = [bool(source.moves) and source.space is not Space.SUMS for source in sources]
    wide = _wide(word, op, lanes, serial)
    size, row_words = lanes if wide else 1, 2 * lanes
    steps = -(-word.n // size)
    doubles = wide and sources[0].space is not Space.SUMS
    pause = behind if serial else _pause(word, behind, steps, 1 if wide else row_words - 1)
    cycle, two, complete = begin + READ_CYCLES, False, begin
    for row in range(word.reps):
        step = 0
        while step < steps:
            reads, begins = 0, True
            for source, held, walks in zip(sources, memory, moves, strict=True):
                if not held:
                    continue
                at = source.address + row * source.stride + step * size * walks
                local = source.space is Space.LOCAL
                if (row, step) == (0, 0) or serial:
                    read = True
                elif step == 0:
                    read = walks or source.stride != 0 or serial_rows
                else:
                    read = walks and (not local or at % row_words == 0)
                reads += read * (SUM_PARTS if source.space is Space.SUMS else 1)
                begins = begins and (not walks or at % row_words < lanes)
            complete = max(cycle + max(reads - 1, 0), complete + (2 if two else interval))
            cycle, two = complete + 1, doubles and begins and step < steps - 1
            step += 1 + two
            if pause and (serial or (serial_rows and step == steps)):
                cycle += two + pause
                last_two, two = two, False
            else:
                last_two = two
    return complete + last_two + behind + 1


def _wide(word: Word, op: Op, lanes: int, serial: bool) -> bool:
    """Whether a step takes the elements of all lanes."""
    if op in INTERVALS or serial:
        return False

    def aligned(item: Operand) -> bool:
        return not item.address % lanes and (word.reps == 1 or not item.stride % lanes)

    for source in (operand(word, name) for name in "abc"):
        if source.space in (Space.STATISTICS, Space.COEFFICIENTS):
            return False
        if source.space is Space.SUMS and not source.moves:
            return False
        if source.space is Space.LOCAL and source.moves and not aligned(source):
            return False
    to = operand(word, "to")
    return to.space is Space.LOCAL and (aligned(to) if to.moves else _chains(word, op))


def _pause(word: Word, behind: int, steps: int, ahead: int) -> int:
    """Cycles in which a repetition that reads what the one before it wrote cannot begin."""
    if word.to_stride:
        return behind
    return min(max(behind + 2 + ahead - steps, 0), behind)


def _chains(word: Word, op: Op) -> bool:
    """Whether the unit keeps the result of a repetition, which nothing else may read."""
    to, sources = operand(word, "to"), {name: operand(word, name) for name in "abc"}
    own = [name for name, source in sources.items() if source == to]
    return word.n > 1 and not to.moves and own == [CHAINS.get(op)] and not _conflict(word)


def _waits(word: Word, op: Op) -> tuple[bool, bool]:
    """Whether each element, and whether each repetition, waits for the one before it."""
    to = operand(word, "to")
    rests = word.n > 1 and not to.moves
    meets = word.reps > 1 and (not to.stride or (bool(to.moves) and to.stride < word.n))
    own = any(operand(word, name) == to for name in "abc")
    conflict = _conflict(word)
    serial = conflict or (own and rests and not _chains(word, op))
    return serial, own and meets and not rests and not conflict


def _conflict(word: Word) -> bool:
    """Whether an operand that walks otherwise than the destination may read what it wrote."""
    to = operand(word, "to")
    return any(
        source.space is to.space
        and source != to
        and _last(source, word) >= to.address
        and _last(to, word) >= source.address
        for source in (operand(word, name) for name in "abc")
    )


def _last(item: Operand, word: Word) -> int:
    """The last address of an operand of ``word``."""
    return item.address + item.stride * (word.reps - 1) + item.moves * (word.n - 1)
