"""Places of the bursts that a master has in flight, and whether a block may move as a whole."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator
from itertools import accumulate

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.bursts import RUN_STEP_CYCLES, BlockPlan, follows
from cpt.sim.fast.channels import LONG_AGO, Channels

_ALL = MACHINE.outstanding_bursts
ONE_BY_ONE_BURSTS = 64
"""Bursts of each engine that are followed one by one; from then on blocks that stream move as a whole."""


class Places:
    """One master's ``outstanding_bursts`` places.

    No beat of a block that moves as a whole waits for one, so such a block takes none. What comes behind it
    asks the channel when the burst was through whose place it gets.

    Args:
        channels, channel: where its beats move.
        wait_cycles: from a burst's last beat to the first cycle in which its place can be taken.
        wake: called when what `issued` or `take` waits for has happened.
    """

    def __init__(self, channels: Channels, channel: int, wait_cycles: int, wake: Callable[[], None]) -> None:
        self._channels, self._channel = channels, channel
        self._wait_cycles, self._wake = wait_cycles, wake
        self._free = deque([LONG_AGO] * _ALL)
        """Cycles from which places may be taken, of bursts since the last whole block."""
        self._singles = _ALL
        """Bursts since then, up to as many as there are places."""
        self._in_flight: deque[int] = deque()
        """Of each burst and whole block: how many whole blocks there were by then, negative for a burst."""
        self._wholes = 1
        self._idle = LONG_AGO
        """First cycle with all places free, if nothing is in flight."""
        self._behind: list[BlockPlan] | None = []
        """The blocks before the next one, as many as matter to it; None if they did not stream."""
        self._known: dict[tuple[int, ...], bool] = {}
        self._one_by_one = ONE_BY_ONE_BURSTS

    def moves_as_a_whole(self, plan: BlockPlan, issue: int) -> bool:
        """Whether the next block does, whose first burst is issued in cycle ``issue`` or later."""
        self._one_by_one -= len(plan.lengths)
        if not self._in_flight and self._idle <= issue:
            self._behind = []
        if not plan.streams or self._behind is None or not self._follows(self._behind, plan):
            self._behind = None
            return False
        self._behind.append(plan)
        bursts = sum(len(block.lengths) for block in self._behind)
        while bursts - len(self._behind[0].lengths) >= _ALL:
            bursts -= len(self._behind.pop(0).lengths)
        return self._one_by_one < 0

    def _follows(self, behind: list[BlockPlan], plan: BlockPlan) -> bool:
        # All of them belong to the program, so they are there as long as their names.
        key = (*map(id, behind), id(plan))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = follows(behind, plan)
        return known

    def whole(self) -> None:
        """A block that moves as a whole is put into the channel."""
        self._wholes += 1
        self._in_flight.append(self._wholes)
        self._free.clear()
        self._singles = 0

    def take(self, waiting: Callable[[], int] = lambda: 0) -> Generator[None, None, int]:
        """Wait until it is known from which cycle the next burst has a place.

        ``waiting``: bursts issued that are not in the channel yet.
        """
        if self._singles < _ALL:
            self._singles += 1
            while waiting() >= _ALL:
                yield
            cycle = (yield from self._through(_ALL - 1 - waiting())) + self._wait_cycles
        else:
            while not self._free:
                yield
            cycle = self._free.popleft()
        self._in_flight.append(-self._wholes)
        return cycle

    def give(self, cycle: int) -> None:
        """A burst's, or a block's, last beat moved in ``cycle``."""
        self._idle = cycle + self._wait_cycles
        if self._in_flight.popleft() == -self._wholes:
            self._free.append(self._idle)

    def issued(self, plan: BlockPlan, burst: int, first: int) -> Generator[None, None, int]:
        """Wait until it is known in which cycle ``burst`` of ``plan`` is issued, which moves as a whole.

        ``first``: the cycle in which its first one can be. No block is behind it.
        """
        cycle = first + burst + (RUN_STEP_CYCLES - 1) * bisect_right(list(accumulate(plan.runs)), burst)
        before = yield from self._through(len(plan.lengths) - 1 - burst + _ALL)
        return max(cycle, before + self._wait_cycles)

    def _through(self, behind: int) -> Generator[None, None, int]:
        """Wait for the last beat of the burst that has ``behind`` more behind it in the channel."""
        watch = _Watch(self._wake)
        cycle = self._channels.watch(self._channel, behind, watch)
        while cycle is None:
            yield
            cycle = watch.cycle
        return cycle


class _Watch:
    """When a burst is complete."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.cycle: int | None = None

    def finished(self, cycle: int, last: bool) -> None:
        """It is."""
        self.cycle = cycle
        self._wake()
