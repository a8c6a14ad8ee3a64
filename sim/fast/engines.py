"""When the engines of one accelerator do what: every wait is a maximum of earlier events.

An engine is a generator that goes as far as what it knows allows and yields for more; events carry the
cycle they happen in, so an engine may be ahead of another. `Channels` alone orders what ports move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from hw.contract import ArrayConfig
from sim.fast.bursts import OUTSTANDING_BURSTS, BlockPlan
from sim.fast.channels import WRITE_0, Channels, Transfer
from sim.fast.pipeline import (
    ADDRESS_CYCLES,
    HALVES,
    LOADED_CYCLES,
    SERIALISE_CYCLES,
    WRITE_DATA_CYCLES,
    collect_cycles,
    result_rows,
)
from sim.memory import MemoryModel

ONE_BY_ONE_BURSTS = 256
"""Bursts of each engine that are followed one by one; from then on blocks that stream move as a whole, which
is less exact by a few cycles in all."""
_LONG_AGO, _NEVER = -(1 << 62), 1 << 62


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
        self._places = deque([_LONG_AGO] * model.max_outstanding)
        self._last = _LONG_AGO
        self.wanted_from = _NEVER
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
        self._free = deque([_LONG_AGO] * (HALVES - loaded - held))
        self._credits = deque([_LONG_AGO] * OUTSTANDING_BURSTS)
        self.loaded: deque[int] = deque([_LONG_AGO] * loaded)
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

    def _hand_over(self, cycle: int) -> None:
        """The generator takes a block's last run, so that the walker is done with the block."""
        self._handed_over.append(cycle)
        self._moved = True

    def _generate(self) -> Iterator[None]:
        """The burst generator: when each burst's address goes out."""
        ready, issue, address = 0, 0, _LONG_AGO
        streaming, one_by_one = True, ONE_BY_ONE_BURSTS
        while True:
            while not self._held:
                yield
            held, plan = self._held.popleft()
            accept = max(held, ready)
            issue = max(accept + 1, issue)
            before_last_run = len(plan.lengths) - plan.last_run_bursts - 1
            if plan.single_run:
                self._hand_over(accept)
            # After a block that did not stream, bursts in flight come back unevenly: wait until none is.
            idle = len(self._credits) == OUTSTANDING_BURSTS and self._credits[-1] <= issue
            streaming = plan.streams and (streaming or idle)
            one_by_one -= len(plan.lengths)
            if streaming and one_by_one < 0:
                while not self._credits:
                    yield
                issue = max(issue, self._credits.popleft())
                self._push(issue + self._address_cycles, plan.ends, True)
                if not plan.single_run:
                    self._hand_over(issue + before_last_run)
                issue += len(plan.lengths)
                ready = issue - 1
                continue
            for index, beats in enumerate(plan.lengths):
                while not self._credits:
                    yield
                issue = max(issue, self._credits.popleft())
                if index == before_last_run:
                    self._hand_over(issue)
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

    def _push(self, address: int, ends: tuple[int, ...], last: bool) -> None:
        ready = address + self._latency_cycles
        self._channels.push(self._channel, Transfer(address, ready, ends, self, last))


class ExecEngine(Engine):
    """Executor, array and collector."""

    def __init__(
        self,
        config: ArrayConfig,
        load_a: LoadEngine,
        load_b: LoadEngine,
        held_a: bool,
        open_tiles: int,
        on_accept: Callable[[], None],
    ) -> None:
        self._loads = (load_a, load_b)
        self._result_rows = result_rows(config)
        self._collect_cycles = collect_cycles(config)
        self._ready_a = _LONG_AGO if held_a else None
        self._free_tiles = deque([_LONG_AGO] * (HALVES - open_tiles))
        self.on_complete: Callable[[int], None] = lambda cycle: None
        self.busy = self.wait_fetch = self.wait_drain = 0
        super().__init__(on_accept)

    def tile_free(self, cycle: int) -> None:
        """DRAIN has sent a tile; its place may be taken from ``cycle`` on."""
        self._free_tiles.append(cycle)
        self.wake()

    def _pieces(self, work: Any) -> int:
        return 1

    def _run(self) -> Iterator[None]:
        load_a, load_b = self._loads
        last, collected = -1, _LONG_AGO
        ready_a = self._ready_a
        while True:
            while not self._waiting:
                yield
            cycle, work = self._take(last)
            start = cycle + 1
            while ready_a is None:
                if load_a.loaded:
                    ready_a = load_a.loaded.popleft()
                else:
                    yield
            for _ in range(work.blocks):
                while not load_b.loaded:
                    yield
                ready = max(ready_a, load_b.loaded.popleft())
                if ready > start:
                    self.wait_fetch += ready - start
                    start = ready
                for _ in range(work.tiles):
                    earliest = collected
                    if work.first:
                        while not self._free_tiles:
                            yield
                        earliest = max(earliest, self._free_tiles.popleft())
                    end = start + work.steps - 1
                    last = max(end, earliest)
                    self.wait_drain += last - end
                    self.busy += work.steps
                    collected = last + self._result_rows
                    start = last + 1
                    if work.last:
                        self.on_complete(last + self._collect_cycles)
                load_b.release(last)
                load_b.wake()
            if work.release_a:
                ready_a = None
                load_a.release(last)
                load_a.wake()
            self.pending -= 1
            self.idle = last + self._collect_cycles


class DrainEngine(Engine):
    """Tile walker, serialiser and write master."""

    def __init__(
        self,
        channels: Channels,
        model: MemoryModel,
        executor: ExecEngine,
        complete: int,
        on_accept: Callable[[], None],
    ) -> None:
        self._channels = channels
        self._executor = executor
        self._port, self._held_places = AddressPort(model), 0
        self._response_cycles = model.write_latency_cycles + 1
        self._complete: deque[int] = deque([_LONG_AGO] * complete)
        self._credits = deque([_LONG_AGO] * OUTSTANDING_BURSTS)
        super().__init__(on_accept)

    def complete(self, cycle: int) -> None:
        """A result tile may be sent from ``cycle`` on."""
        self._complete.append(cycle)
        self.wake()

    def finished(self, cycle: int, last: bool) -> None:
        """A transfer is complete."""
        self._credits.append(cycle + self._response_cycles)
        if self._held_places:
            self._held_places -= 1
            self._port.give(cycle + self._response_cycles - 1)
        self.idle = cycle + self._response_cycles
        if last:
            self.pending -= 1
            self._executor.tile_free(cycle)
        self.wake()

    def _pieces(self, work: Any) -> int:
        return work.drain.blocks * work.drain.tiles

    def _run(self) -> Iterator[None]:
        walker_ready, generator_ready, issue = 0, 0, 0
        one_by_one = ONE_BY_ONE_BURSTS
        while True:
            while not self._waiting:
                yield
            cycle, work = self._take(walker_ready)
            walker_ready = cycle + 1
            for block in range(work.drain.blocks):
                for tile in range(work.drain.tiles):
                    while not self._complete:
                        yield
                    accept = max(walker_ready, self._complete.popleft(), generator_ready)
                    walker_ready = accept + 1
                    plan = work.plan(block, tile)
                    issue = max(accept + 1, issue)
                    data = accept + SERIALISE_CYCLES
                    one_by_one -= len(plan.lengths)
                    if plan.streams and one_by_one < 0:
                        while not self._credits:
                            yield
                        issue = max(issue, self._credits.popleft())
                        self._push(issue + ADDRESS_CYCLES, data, plan.ends, True, True)
                        issue += len(plan.lengths)
                        generator_ready = issue - 1
                    else:
                        for index, beats in enumerate(plan.lengths):
                            while not (self._credits and self._port.free):
                                yield
                            issue = max(issue, self._credits.popleft())
                            address = self._port.take(issue + ADDRESS_CYCLES)
                            self._held_places += 1
                            self._push(address, data, (beats,), index == 0, index == len(plan.lengths) - 1)
                            generator_ready, issue = issue, max(issue + 1, address)

    def _push(self, address: int, data: int, ends: tuple[int, ...], first: bool, last: bool) -> None:
        ready = max(address + WRITE_DATA_CYCLES, data)
        # The serialiser needs a cycle between tiles.
        self._channels.push(WRITE_0, Transfer(address, ready, ends, self, last, gap=int(first)))
