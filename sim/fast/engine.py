"""What the timed engines have in common.

An engine is a generator that goes as far as what it knows allows and yields for more. Events carry the
cycle they happen in and every wait is a maximum of earlier ones, so an engine may be ahead of another;
`cpt.sim.fast.channels` alone orders what the ports move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.channels import LONG_AGO, Channels
from cpt.sim.fast.pipeline import M0_STEP_CYCLES
from cpt.sim.memory import MemoryModel

NEVER = 1 << 62
ARBITER_CYCLES = MACHINE.arbiter_cycles - 1
"""From an address at the arbiter to its acceptance."""


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


Taken = Callable[[int], None]
"""Who offers an address is told the cycle in which the port takes it."""


class AddressPort:
    """Addresses of one port, in order: the memory takes them while few enough bursts are open."""

    def __init__(self, model: MemoryModel) -> None:
        self._places = deque([LONG_AGO] * model.max_outstanding)
        self._waiting: deque[tuple[int, Taken]] = deque()
        self._last = LONG_AGO

    def offer(self, cycle: int, taken: Taken) -> None:
        """An address is there from ``cycle`` on."""
        self._waiting.append((cycle, taken))
        self._settle()

    def give(self, cycle: int) -> None:
        """A burst's last beat, or its response, moved in ``cycle``."""
        self._places.append(cycle + 1)
        self._settle()

    def _settle(self) -> None:
        while self._waiting and self._places:
            cycle, taken = self._waiting.popleft()
            self._last = max(cycle, self._places.popleft(), self._last + 1)
            taken(self._last)


class SharedPort:
    """The port with the arbiter: each of two masters has an address accepted every second cycle."""

    def __init__(self, model: MemoryModel, channels: Channels) -> None:
        self._port, self._channels = AddressPort(model), channels
        self._offers: tuple[deque[tuple[int, Taken]], ...] = (deque(), deque())
        self._accepted = [LONG_AGO, LONG_AGO]
        self._asked = -1

    def offer(self, master: int, cycle: int, taken: Taken) -> None:
        """An address is there from ``cycle`` on; ``master`` 0 goes before 1."""
        self._offers[master].append((cycle, taken))
        self.settle()

    def give(self, cycle: int) -> None:
        """A burst's last beat moved in ``cycle``."""
        self._port.give(cycle)

    def settle(self) -> None:
        """Accept what is certain to be the next one, and be called again for the others."""
        while any(self._offers):
            cycles = [
                max(offers[0][0] + ARBITER_CYCLES, accepted + M0_STEP_CYCLES) if offers else NEVER
                for offers, accepted in zip(self._offers, self._accepted, strict=True)
            ]
            cycles[1] += cycles[1] == self._accepted[0]
            cycle = min(cycles)
            # What the other master offers by then may not be known before.
            if cycle > self._channels.now:
                if self._asked != cycle:
                    self._asked = cycle
                    self._channels.call_at(cycle, self.settle)
                return
            master = cycles.index(cycle)
            _, taken = self._offers[master].popleft()
            self._accepted[master] = cycle
            self._port.offer(cycle + 1, taken)
