"""The memory ports: bursts of runs, beats in order, by the rules of `cpt.sim.memory`."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import BURST_BYTES, MACHINE
from cpt.sim.memory import CHANNELS

STRETCH_CYCLES = 16
"""In which beats of all ports together are counted."""


@dataclass
class Memory:
    """What serves all ports: latencies in cycles, beats a cycle over all of them."""

    read_cycles: int
    write_cycles: int
    beats_per_cycle: float
    used: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Beats that move in each stretch of `STRETCH_CYCLES`."""
    owed: float = 0.0
    """Beats that were promised to reads and went to writes instead."""

    @property
    def most(self) -> float:
        """Beats of a stretch."""
        return STRETCH_CYCLES * self.beats_per_cycle

    def port(self, *, writes: bool = False) -> Port:
        """One more; ``writes``: the one that writes."""
        return Port(self, writes)


@dataclass
class Port:
    """A data channel: beats of all its masters in the order of their addresses."""

    memory: Memory
    writes: bool
    free: int = 0
    """When the next beat may move."""
    share: tuple[int, float] = (0, 0.0)
    """A stretch, and what is left there of the port's fair share."""

    def move(self, cycle: int, beats: int, last: int = 0) -> None:
        """Beats that may move from ``cycle`` on, one a cycle, the last one from ``last`` on.

        Beside others the port gets what memory has left in each stretch of time. Reads ask long before they
        move, so writes may take what reads have more than their share, which these then get later.
        """
        at, left = max(cycle, self.free), beats
        while left:
            stretch, begun = divmod(at, STRETCH_CYCLES)
            there = min(left, STRETCH_CYCLES - begun, int(self._room(stretch)))
            self._use(stretch, there)
            left -= there
            at = at + there if not left else (stretch + 1) * STRETCH_CYCLES
        self.free = max(at, last + 1)

    def _room(self, stretch: int) -> float:
        """Beats that the port may move in a stretch."""
        memory = self.memory
        room = memory.most - memory.used[stretch]
        if self.writes:
            if self.share[0] != stretch:
                self.share = stretch, memory.most / CHANNELS
            return max(room, self.share[1])
        paid = min(memory.owed, room)
        memory.owed -= paid
        memory.used[stretch] += paid
        return room - paid

    def _use(self, stretch: int, beats: int) -> None:
        memory = self.memory
        if self.writes:
            self.share = stretch, self.share[1] - beats
            memory.owed += max(beats - max(memory.most - memory.used[stretch], 0), 0)
        memory.used[stretch] += beats


@dataclass
class Master:
    """Reads runs through a port, as many bursts in flight as it may have.

    ``levels``: arbiters on the way to the port; a cycle there and back is MACHINE's.
    """

    port: Port
    levels: int
    free: int = 0
    """When the next burst may be cut."""
    ends: deque[int] = field(default_factory=lambda: deque(maxlen=MACHINE.outstanding_bursts))

    def read(self, cycle: int, address: int, beats: int) -> list[tuple[int, int]]:
        """The beats of a run that the master takes in ``cycle``: of each burst the last one's cycle at the
        master, and how many it has."""
        found = []
        issue = max(cycle + MACHINE.generator_cycles - 1, self.free)
        there = self.levels * MACHINE.arbiter_cycles + 1
        back = self.levels * MACHINE.arbiter_data_cycles
        for size in bursts(address, beats):
            if len(self.ends) == MACHINE.outstanding_bursts:
                issue = max(issue, self.ends[0] + 1)
            self.port.move(issue + there + self.port.memory.read_cycles, size)
            last = self.port.free - 1 + back
            self.ends.append(last)
            found.append((last, size))
            issue += 1
        self.free = issue + 1
        return found


@dataclass
class Writer:
    """The write master: a run's address and beats, one run after the other.

    ``shared``: there is an arbiter in front of it.
    """

    port: Port
    shared: bool = True
    free: int = 0
    """When the next run may be taken."""
    ends: deque[int] = field(default_factory=lambda: deque(maxlen=MACHINE.outstanding_bursts))
    answers: int = 0
    """When the last answer came."""

    def write(self, cycle: int, address: int, beats: int, ready: int, pace: int = 1) -> int:
        """A run that is offered in ``cycle``, whose beats are there from ``ready`` on, one in
        ``pace`` cycles: when its answer comes."""
        taken = max(cycle, self.free)
        there = max(ready, taken + self.shared)
        first, sent = taken + self.shared + WRITE_BEGIN_CYCLES, 0
        for size in bursts(address, beats):
            if len(self.ends) == MACHINE.outstanding_bursts:
                first = max(first, self.ends[0] + 1 + MACHINE.write_data_cycles)
            sent += size
            self.port.move(max(first, there + 1), size, there + pace * (sent - 1) + 1)
            first = self.port.free
            self.answers = max(self.answers + 1, self.port.free - 1 + self.port.memory.write_cycles)
            self.ends.append(self.answers)
        # Beats wait behind the arbiter, a few, so the next run need not wait for the port.
        passed = there + pace * (beats - 1)
        if beats > MACHINE.write_beats:
            passed = max(passed, self.port.free - MACHINE.write_beats)
        self.free = passed + WRITE_TURN_CYCLES
        return self.answers + WRITE_ANSWER_CYCLES


WRITE_BEGIN_CYCLES = MACHINE.generator_cycles - 1 + MACHINE.write_data_cycles
"""From a run that the write master takes to its first beat at the port; the arbiter is a cycle before."""
WRITE_TURN_CYCLES = 2
"""From the last beat of a run to the next run that the arbiter takes, or that the packer has."""
WRITE_ANSWER_CYCLES = 1
"""From an answer at the port to the writer that knows of it."""


def bursts(address: int, beats: int) -> Iterator[int]:
    """Beats of the bursts of a run."""
    while beats > 0:
        size = min(beats, (BURST_BYTES - address % BURST_BYTES) // BEAT_BYTES)
        yield size
        address += size * BEAT_BYTES
        beats -= size
