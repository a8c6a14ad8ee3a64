"""What the engines of a list that is timed know of each other, and the pace in which they go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeVar

from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import ENGINES, Engine, Word
from cpt.hw.program.gate import Gate

MARK_CYCLES = Gate.latency_cycles - 1
"""From a mark that shows a unit to the gate that opens for it: what is needed is known by then."""
WAITS = (0, 1)
PROGRAM, LANES, MEMORY = "program", "lanes", "memory"
"""The program, for whose next instruction an engine waits; what is busy beside the engines."""
PACKERS = "packers"
"""What makes planes of an APPLY's codes and writes them."""
WORK = ""
"""In place of what is waited for."""

Item = TypeVar("Item")
Wish = int | tuple[Sequence[Any], int]
"""What a process goes on with: a cycle in which it has its turn, or an entry of a list."""
Process = Generator[Wish, None, None]


@dataclass
class Moment:
    """When an instruction did what; cycles since the list began."""

    word: Word
    engine: Engine
    number: int = 0
    """In its list."""
    pushed: int = 0
    """Into its engine's queue."""
    taken: int = 0
    """Out of it."""
    begun: int = 0
    """Its first unit: what it waits for is there."""
    first: int = 0
    """The mark shows its first unit."""
    ended: int = 0
    """The mark shows its last unit."""
    why: str = ""
    """What its first unit waited for last."""
    busy: int = 0
    """Cycles of its engine."""
    read: int = 0
    written: int = 0
    """Bytes of memory."""


class Spell(NamedTuple):
    """Cycles of an instruction, of which is known what its engine did."""

    begin: int
    end: int
    number: int
    """Of the instruction, in the list."""
    why: str
    """What was waited for, or `WORK`."""


@dataclass
class Log:
    """Where in time work and waits lie, as far as the processes know; an engine's spells may overlap."""

    spells: dict[Engine, list[Spell]] = field(default_factory=lambda: {each: [] for each in Engine})
    memory: list[float] = field(default_factory=list)
    """Beats of all ports in each `cpt.sim.step.timing.ports.STRETCH_CYCLES`."""

    def add(self, engine: Engine, spell: Spell) -> None:
        """One more, if it has any cycles; it goes on with the last one where it can."""
        if spell.end <= spell.begin:
            return
        spells = self.spells[engine]
        if spells and (spells[-1].end, *spells[-1][2:]) == (spell.begin, *spell[2:]):
            spell = spell._replace(begin=spells.pop().begin)
        spells.append(spell)


@dataclass
class Run:
    """A list on its way through the engines: all of it in cycles."""

    config: ArrayConfig
    moments: list[Moment] = field(default_factory=list)
    busy: Counter[str] = field(default_factory=Counter)
    waits: dict[Engine, Counter[str]] = field(default_factory=lambda: {each: Counter() for each in Engine})
    marks: dict[Engine, list[int]] = field(default_factory=lambda: {each: [] for each in Engine})
    """When an engine's mark shows so many units and one."""
    taken: dict[Engine, list[int]] = field(default_factory=lambda: {each: [] for each in Engine})
    """When an engine has taken its instructions."""
    pushed: dict[Engine, list[int]] = field(default_factory=lambda: {each: [] for each in Engine})
    released_a: list[int] = field(default_factory=list)
    """When EXEC has finished with each block of operand A."""
    walked: list[tuple[int, int]] = field(default_factory=list)
    """When each command's rows were taken, and how many slots there were by then."""
    released_b: list[int] = field(default_factory=list)
    """When EXEC has finished with each slot of the window memories."""
    filled: list[int] = field(default_factory=list)
    """When each slot of the window memories is complete."""
    loaded: list[int] = field(default_factory=list)
    """When each block of operand A is."""
    freed: list[int] = field(default_factory=list)
    """When DRAIN has read each result tile."""
    log: Log | None = None
    """For who wants to see every cycle; without it nothing of that is kept."""

    def of(self, engine: Engine) -> list[Moment]:
        """The instructions of an engine, in order."""
        return [moment for moment in self.moments if moment.engine is engine]

    def take(self, moment: Moment, number: int, ready: int) -> Generator[Wish, None, int]:
        """The engine's next instruction, number ``number`` of it, out of the queue from ``ready`` on."""
        pushed = self.pushed[moment.engine]
        yield from known(pushed, number)
        moment.pushed = pushed[number]
        moment.taken = max(moment.pushed + MACHINE.queue_cycles, ready)
        if moment.taken > ready:
            self.waits[moment.engine][PROGRAM] += moment.taken - ready
            self.spent(moment, ready, moment.taken, PROGRAM)
        self.taken[moment.engine].append(moment.taken)
        return moment.taken

    def gate(self, word: Word, unit: int, load: int) -> Generator[Wish, None, tuple[int, str]]:
        """When the gate opens for a unit that is asked for in cycle ``load``, and who opened it last."""
        begin, why = load + Gate.latency_cycles, ENGINES[word.code].name
        for index in WAITS:
            waited = word.values[f"wait{index}_engine"]
            if not waited:
                continue
            mark = word.values[f"wait{index}_first"] + unit * word.values[f"wait{index}_step"]
            if mark > 0:
                shown = (yield from known(self.marks[Engine(waited)], mark - 1)) + MARK_CYCLES
                if shown > begin:
                    begin, why = shown, Engine(waited).name
        return begin, why

    def begin(self, moment: Moment, cycle: int, why: str, free: int) -> None:
        """A unit begins; ``free``: it could have without what it waited for."""
        if not moment.begun:
            moment.begun, moment.why = cycle, why
        if cycle > free:
            self.waits[moment.engine][why] += cycle - free
            self.spent(moment, free, cycle, why)

    def worked(self, moment: Moment, cycles: int) -> None:
        """An instruction keeps its engine busy."""
        moment.busy += cycles
        self.busy[moment.engine.name] += cycles

    def spent(self, moment: Moment, begin: int, end: int, why: str = WORK) -> None:
        """Where cycles of an instruction lie, for the log if there is one."""
        if self.log:
            self.log.add(moment.engine, Spell(begin, end, moment.number, why))

    def rowed(self, moment: Moment, could: int, took: int, cost: int, data: int) -> None:
        """Where a row of `cpt.sim.step.timing.rows` lies, which could have begun earlier but for ``data`` of
        memory."""
        if took == data:
            self.spent(moment, could, took - cost, MEMORY)
        self.spent(moment, took - cost, took)

    def read(self, moment: Moment, beats: int) -> None:
        """An instruction has memory read."""
        moment.read += BEAT_BYTES * beats
        self.busy[MEMORY] += beats

    def wrote(self, moment: Moment, beats: int) -> None:
        """An instruction has memory written."""
        moment.written += BEAT_BYTES * beats
        self.busy[MEMORY] += beats

    def mark(self, moment: Moment, cycle: int) -> None:
        """A unit is in the mark."""
        self.marks[moment.engine].append(cycle)
        moment.first = moment.first or cycle
        moment.ended = cycle


def known(items: Sequence[Item], index: int) -> Generator[Wish, None, Item]:
    """An entry of a list, once it is there."""
    if index >= len(items):
        yield items, index
    return items[index]


def later(*choices: tuple[int, str]) -> tuple[int, str]:
    """The last of cycles, with what it stands for; the first of equal ones."""
    return max(choices, key=lambda choice: choice[0])


def go(processes: Sequence[Process]) -> None:
    """Let processes go on to their ends; raises `ContractError` if none can.

    Whoever asks for a cycle has its turn when nobody can ask for an earlier one any more.
    """
    waits: list[tuple[Process, Sequence[Any], int]] = []
    """For an entry of a list."""
    turns: list[tuple[int, int, Process]] = []
    """A heap: cycle, and which process."""
    order = {process: number for number, process in enumerate(processes)}

    def resume(process: Process) -> None:
        for wish in process:
            if isinstance(wish, int):
                heappush(turns, (wish, order[process], process))
                return
            if len(wish[0]) <= wish[1]:
                waits.append((process, *wish))
                return

    for process in processes:
        resume(process)
    while waits or turns:
        able, waits = waits, []
        moved = False
        for process, items, index in able:
            if len(items) > index:
                resume(process)
                moved = True
            else:
                waits.append((process, items, index))
        if moved:
            continue
        if turns:
            resume(heappop(turns)[2])
        else:
            raise ContractError("program stands still; allowed: waits for what stands before")
