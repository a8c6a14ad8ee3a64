"""DRAIN in time: tile walker, serialiser and write master."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.channels import WRITE_0, Channels, Transfer
from cpt.sim.fast.engine import LONG_AGO, ONE_BY_ONE_BURSTS, AddressPort, Engine
from cpt.sim.fast.executing import ExecEngine
from cpt.sim.fast.pipeline import ADDRESS_CYCLES, SERIALISE_CYCLES, WRITE_DATA_CYCLES
from cpt.sim.memory import MemoryModel


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
        self._complete: deque[int] = deque([LONG_AGO] * complete)
        self._credits = deque([LONG_AGO] * MACHINE.outstanding_bursts)
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
