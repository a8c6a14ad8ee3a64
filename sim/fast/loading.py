"""LOAD in time: walker, burst generator and data side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.bursts import BlockPlan
from cpt.sim.fast.channels import Channels, Transfer
from cpt.sim.fast.engine import LONG_AGO, ONE_BY_ONE_BURSTS, AddressPort, Engine
from cpt.sim.fast.pipeline import ADDRESS_CYCLES, LOADED_CYCLES
from cpt.sim.memory import MemoryModel


class LoadEngine(Engine):
    """Walker, burst generator and data side of one operand's loader."""

    def __init__(
        self,
        channels: Channels,
        channel: int,
        address_cycles: int,
        loaded: int,
        held: int,
        *,
        port: AddressPort,
        model: MemoryModel,
        on_accept: Callable[[], None],
    ) -> None:
        self._channels, self._channel = channels, channel
        self._address_cycles, self._latency_cycles = address_cycles, model.read_latency_cycles
        self._port, self._held_places = port, 0
        self._shared = address_cycles > ADDRESS_CYCLES
        """Whether there is an arbiter before the port."""
        self._free = deque([LONG_AGO] * (MACHINE.halves - loaded - held))
        self._credits = deque([LONG_AGO] * MACHINE.outstanding_bursts)
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
        self._credits.append(cycle + 1)
        if self._held_places:
            self._held_places -= 1
            self._port.give(cycle)
        if last:
            self.pending -= 1
            self.idle = cycle + LOADED_CYCLES
            self.loaded.append(cycle + LOADED_CYCLES)
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
                held = max(ready, self._free.popleft() + 1) + 1
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
        ready, issue, address = 0, 0, LONG_AGO
        streaming, one_by_one = True, ONE_BY_ONE_BURSTS
        while True:
            while not self._held:
                yield
            held, plan = self._held.popleft()
            accept = max(held, ready)
            issue = max(accept + 1, issue)
            before_last_run = len(plan.lengths) - plan.last_run_bursts - 1
            if plan.single_run:
                self.hand_over(accept)
            # After a block that did not stream, bursts in flight come back unevenly: wait until none is.
            idle = len(self._credits) == MACHINE.outstanding_bursts and self._credits[-1] <= issue
            streaming = plan.streams and (streaming or idle)
            one_by_one -= len(plan.lengths)
            if streaming and one_by_one < 0:
                while not self._credits:
                    yield
                issue = max(issue, self._credits.popleft())
                self._push_whole(issue, plan, before_last_run)
                issue += len(plan.lengths)
                ready = issue - 1
                continue
            for index, beats in enumerate(plan.lengths):
                while not self._credits:
                    yield
                issue = max(issue, self._credits.popleft())
                if index == before_last_run:
                    self.hand_over(issue)
                # An address that waits in the port keeps the next one in the generator, or, where there is
                # an arbiter, the one after that.
                offered = max(issue + self._address_cycles, address + 1)
                if self._shared and offered > self._channels.now:
                    # Who gets a place depends on the other master: decide when the time has come.
                    self._channels.call_at(offered, self.wake)
                    while offered > self._channels.now:
                        yield
                while not self._port.free_at(offered):
                    yield
                taken, address = address, self._port.take(offered)
                self._held_places += 1
                self._push(address, (beats,), index == len(plan.lengths) - 1)
                blocked = taken if self._shared else address
                ready, issue = issue, max(issue + 1, blocked)

    def _push_whole(self, issue: int, plan: BlockPlan, before_last_run: int) -> None:
        """A block whose bursts stream, from the burst issued in cycle ``issue`` on."""
        address = issue + self._address_cycles
        ready = address + self._latency_cycles
        whole = Transfer(address, ready, plan.ends, self, True)
        # The burst before the last run is issued when the one that far ahead of it is complete.
        ahead = before_last_run - MACHINE.outstanding_bursts
        if ahead >= 0:
            rest = whole.split(ahead + 1)
            whole.owner = _HandOver(self)
            self._channels.push(self._channel, whole)
            self._channels.push(self._channel, rest)
            return
        self._channels.push(self._channel, whole)
        if not plan.single_run:
            self.hand_over(issue + before_last_run)

    def _push(self, address: int, ends: tuple[int, ...], last: bool) -> None:
        ready = address + self._latency_cycles
        self._channels.push(self._channel, Transfer(address, ready, ends, self, last))


class _HandOver:
    """Owner of a block's beats up to the burst that makes way for the one before the last run."""

    def __init__(self, engine: LoadEngine) -> None:
        self._engine = engine

    def finished(self, cycle: int, last: bool) -> None:
        """That burst is complete."""
        self._engine.hand_over(cycle + 1)
        self._engine.wake()
