"""LOAD in time: walker, burst generator and data side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.bursts import BlockPlan
from cpt.sim.fast.channels import LONG_AGO, Channels, Transfer
from cpt.sim.fast.engine import Engine, Taken
from cpt.sim.fast.pipeline import ADDRESS_CYCLES, LOADED_CYCLES, RUN_CYCLES
from cpt.sim.fast.places import Places
from cpt.sim.memory import MemoryModel


class LoadEngine(Engine):
    """Walker, burst generator and data side of one operand's loader."""

    def __init__(
        self,
        channels: Channels,
        channel: int,
        arbiter: tuple[int, int],
        loaded: int,
        held: int,
        *,
        offer: Callable[[int, Taken], None],
        give: Callable[[int], None],
        model: MemoryModel,
        on_accept: Callable[[], None],
    ) -> None:
        self._channels, self._channel = channels, channel
        self._arbiter_cycles, self._data_cycles = arbiter
        self._latency_cycles = model.read_latency_cycles
        self._offer, self._give, self._held_places = offer, give, 0
        self._offered = 0
        """Addresses that the port has not taken."""
        self._waits_for_port = False
        self._free = deque([LONG_AGO] * (MACHINE.halves - loaded - held))
        self._places = Places(channels, channel, self._data_cycles + 1, self.wake)
        self.loaded: deque[int] = deque([LONG_AGO] * loaded)
        """Cycle EXEC sees each loaded block in."""
        self.on_loaded: Callable[[], None] = lambda: None
        self._held: deque[tuple[int, BlockPlan]] = deque()
        self._handed_over: deque[int] = deque()
        self._moved = False
        super().__init__(on_accept)
        self._generator = self._generate()
        next(self._generator)

    def release(self, cycle: int) -> None:
        """EXEC gives a half back."""
        self._free.append(cycle)

    def finished(self, cycle: int, last: bool) -> None:
        """A transfer is complete."""
        arrived = cycle + self._data_cycles
        self._places.give(cycle)
        if self._held_places:
            self._held_places -= 1
            self._give(cycle)
        if last:
            self.pending -= 1
            self.idle = arrived + LOADED_CYCLES
            self.loaded.append(arrived + LOADED_CYCLES)
            self.on_loaded()
        self.wake()

    def _pieces(self, work: Any) -> int:
        return work.blocks

    def wake(self) -> None:
        """Go on as far as possible, address walker and burst generator."""
        self._moved = True
        while self._moved:
            self._moved = False
            next(self._process)
            next(self._generator)

    def _run(self) -> Iterator[None]:
        """The walker: takes instructions, and a free half for each block."""
        ready = 0
        while True:
            while not self._waiting:
                yield
            cycle, work = self._take(ready)
            ready = cycle + 1
            for block in range(work.blocks):
                while not self._free:
                    yield
                held = max(ready, self._free.popleft() + 1) + MACHINE.walker_cycles
                self._held.append((held, work.plans[block % len(work.plans)]))
                self._moved = True
                while not self._handed_over:
                    yield
                ready = self._handed_over.popleft() + 1

    def hand_over(self, cycle: int) -> None:
        """The generator takes a block's last run, so that the walker is done with the block."""
        self._handed_over.append(cycle)
        self._moved = True

    def _generate(self) -> Iterator[None]:
        """The burst generator: when each burst's address goes out."""
        moved, ended = LONG_AGO, LONG_AGO
        while True:
            while not self._held:
                yield
            held, plan = self._held.popleft()
            accept = max(held, moved + 1)
            if len(plan.runs) == 1:
                self.hand_over(accept)
            moved = max(accept, ended) + 1
            issue = moved + 1
            if self._places.moves_as_a_whole(plan, issue):
                while self._offered:
                    self._waits_for_port = True
                    yield
                self._waits_for_port = False
                self._places.whole()
                self._push_whole(issue, plan)
                runs = len(plan.runs)
                last = moved + 1
                if runs > 2:
                    before = yield from self._places.issued(plan, sum(plan.runs[:-2]) - 1, issue)
                    last = before + RUN_CYCLES
                if runs > 1:
                    self.hand_over(last)
                    before = yield from self._places.issued(plan, sum(plan.runs[:-1]) - 1, issue)
                    moved = max(last, before) + 1
                ended = yield from self._places.issued(plan, len(plan.lengths) - 1, issue)
                continue
            burst = 0
            for number, bursts in enumerate(plan.runs):
                if number:
                    moved = max(moved + 1, ended) + 1
                    issue = moved + 1
                if number == len(plan.runs) - 2:
                    self.hand_over(moved + 1)
                for _ in range(bursts):
                    place = yield from self._places.take(lambda: self._offered)
                    issue = max(issue, place)
                    burst += 1
                    self._address(issue, plan.lengths[burst - 1], burst == len(plan.lengths))
                    ended, issue = issue, issue + 1

    def _address(self, issue: int, beats: int, last: bool) -> None:
        """A burst is issued: the port takes its address some time."""

        def taken(cycle: int) -> None:
            self._offered -= 1
            self._held_places += 1
            self._push(cycle, (beats,), last)
            if self._waits_for_port:
                self.wake()

        self._offered += 1
        self._offer(issue + ADDRESS_CYCLES, taken)

    def _push_whole(self, issue: int, plan: BlockPlan) -> None:
        """A block whose bursts stream, from the burst issued in cycle ``issue`` on."""
        address = issue + ADDRESS_CYCLES + self._arbiter_cycles
        ready = address + self._latency_cycles
        self._channels.push(self._channel, Transfer(address, ready, plan.ends, self, True))

    def _push(self, address: int, ends: tuple[int, ...], last: bool) -> None:
        ready = address + self._latency_cycles
        self._channels.push(self._channel, Transfer(address, ready, ends, self, last))
