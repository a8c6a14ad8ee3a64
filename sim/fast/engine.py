"""What the timed engines have in common.

An engine is a generator that goes as far as what it knows allows and yields for more. Events carry the
cycle they happen in and every wait is a maximum of earlier ones, so an engine may be ahead of another;
`cpt.sim.fast.channels` alone orders what the ports move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.sim.memory import MemoryModel

ONE_BY_ONE_BURSTS = 64
"""Bursts of each engine that are followed one by one; from then on blocks that stream move as a whole, which
is less exact by a few cycles in all."""
LONG_AGO, NEVER = -(1 << 62), 1 << 62


class Engine:
    """One engine: a queue of instructions and a process that works on them."""

    def __init__(self, on_accept: Callable[[], None]) -> None:
        self._waiting: deque[tuple[int, Any]] = deque()
        self._on_accept = on_accept
        self.accepted: list[int] = []
        """Cycle each instruction left the queue in."""
        self.pushed = 0
        self.pending = 0
        """Pieces of work pushed and not finished."""
        self.idle = 0
        """First cycle with nothing to do, once nothing is pending."""
        self._process = self._run()
        next(self._process)

    def push(self, cycle: int, work: Any) -> None:
        """An instruction that enters the queue in ``cycle``."""
        self._waiting.append((cycle + 1, work))
        self.pushed += 1
        self.pending += self._pieces(work)
        self.wake()

    def wake(self) -> None:
        """Go on as far as possible."""
        next(self._process)

    def _take(self, ready: int) -> tuple[int, Any]:
        """The next instruction and the cycle it is taken in; the engine is ready from ``ready`` on."""
        arrival, work = self._waiting.popleft()
        cycle = max(arrival, ready)
        self.accepted.append(cycle)
        self._on_accept()
        return cycle, work

    def _pieces(self, work: Any) -> int:
        raise NotImplementedError

    def _run(self) -> Iterator[None]:
        raise NotImplementedError


class AddressPort:
    """Addresses of one port: the memory takes them while few enough bursts are open."""

    def __init__(self, model: MemoryModel) -> None:
        self._places = deque([LONG_AGO] * model.max_outstanding)
        self._last = LONG_AGO
        self.wanted_from = NEVER
        """Cycle from which another master, which goes first, offers an address."""

    @property
    def free(self) -> bool:
        """Whether a place is known to become free."""
        return bool(self._places)

    def free_at(self, cycle: int) -> bool:
        """Whether there is a place for the master that goes second and offers its address in ``cycle``."""
        return bool(self._places) and cycle < self.wanted_from

    def take(self, cycle: int) -> int:
        """Cycle in which an address offered from ``cycle`` on is taken; there must be a free place."""
        self._last = max(cycle, self._places.popleft(), self._last + 1)
        return self._last

    def give(self, cycle: int) -> None:
        """A burst's last beat moved in ``cycle``."""
        self._places.append(cycle + 1)
