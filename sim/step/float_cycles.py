"""Cycles that a FLOAT takes in the float engine, where no read has to wait for another engine's."""

from __future__ import annotations

from cpt.hw.channel.arithmetic import INTERVALS, latency_cycles
from cpt.hw.channel.operands import SUM_BANKS, Operands
from cpt.hw.channel.plan import CHAINS
from cpt.hw.channel.writer import Writer
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.step import Word
from cpt.sim.step.floats import FIXED_SPACES, Operand, operand

SETUP_CYCLES = 9
"""From the instruction taken to its first read's cycle less 1: slots looked up, numbers put in place."""
PLAN_CYCLES = 4
"""The same where finding the operands' ends takes longer: a cycle more for each bit of ``reps - 1``."""


def float_cycles(word: Word) -> int:
    """From the cycle after the instruction is taken to its mark; its own waits not counted."""
    begin = max(SETUP_CYCLES, PLAN_CYCLES + max(word.reps - 1, 0).bit_length())
    if not word.n * word.reps:
        return begin + 1
    op, sources = Op(word.op), [operand(word, name) for name in "abc"]
    serial, serial_rows = _waits(word, op)
    interval = INTERVALS.get(op, 1)
    behind = Operands.latency_cycles + latency_cycles(op) + Writer.latency_cycles
    memory = [
        source.space not in FIXED_SPACES and (source.space is not Space.SUMS or not number)
        for number, source in enumerate(sources)
    ]
    moves = [bool(source.moves) and source.space is not Space.SUMS for source in sources]
    pairs = not serial and interval == 1 and sources[0].space is not Space.SUMS
    cycle, two, complete = begin + 1, False, 0
    for row in range(word.reps):
        column = 0
        while column < word.n:
            reads = 0
            for source, held, walks in zip(sources, memory, moves, strict=True):
                if not held:
                    continue
                at = source.address + row * source.stride + column * walks
                if (row, column) == (0, 0) or serial:
                    read = True
                elif column == 0:
                    read = walks or source.stride != 0 or serial_rows
                else:
                    read = walks and (source.space is not Space.LOCAL or at % 2 == 0)
                reads += read * (SUM_BANKS if source.space is Space.SUMS else 1)
            least = 1 if two else interval - 1
            two = pairs and column < word.n - 1 and _even(sources, memory, moves, row, column)
            complete = cycle + max(reads - 1, least, 0)
            cycle = complete + 1
            column += 1 + two
            if serial or (serial_rows and column == word.n):
                cycle = complete + two + behind + 1
                two = two and not serial
    return complete + two + behind + 1


def _even(sources: list[Operand], memory: list[bool], moves: list[bool], row: int, column: int) -> bool:
    """Whether all that moves lies in local memory at even addresses."""
    for source, held, walks in zip(sources, memory, moves, strict=True):
        at = source.address + row * source.stride + column
        if held and walks and (source.space is not Space.LOCAL or at % 2):
            return False
    return True


def _waits(word: Word, op: Op) -> tuple[bool, bool]:
    """Whether each element, and whether each repetition, waits for the one before it."""
    to, sources = operand(word, "to"), {name: operand(word, name) for name in "abc"}
    rests = word.n > 1 and not to.moves
    meets = word.reps > 1 and (not to.stride or (bool(to.moves) and to.stride < word.n))
    own = [name for name, source in sources.items() if source == to]

    def last(item: Operand) -> int:
        return item.address + item.stride * (word.reps - 1) + item.moves * (word.n - 1)

    conflict = any(
        source.space is to.space
        and source != to
        and last(source) >= to.address
        and last(to) >= source.address
        for source in sources.values()
    )
    chain = rests and not conflict and own == [CHAINS.get(op)]
    serial = conflict or (bool(own) and rests and not chain)
    return serial, bool(own) and meets and not rests and not conflict
