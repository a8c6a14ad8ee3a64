"""DRAIN in time: tile walker, serialiser and write master."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.channels import LONG_AGO, WRITE_0, Channels, Transfer
from cpt.sim.fast.engine import AddressPort, Engine
from cpt.sim.fast.executing import ExecEngine
from cpt.sim.fast.pipeline import (
    ADDRESS_CYCLES,
    SERIALISE_CYCLES,
    TILE_FREE_CYCLES,
    WRITE_DATA_CYCLES,
)
from cpt.sim.fast.places import Places
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
        self._places = Places(channels, WRITE_0, self._response_cycles, self.wake)
        super().__init__(on_accept)

    def complete(self, cycle: int) -> None:
        """A result tile may be sent from ``cycle`` on."""
        self._complete.append(cycle)
        self.wake()

    def finished(self, cycle: int, last: bool) -> None:
        """A transfer is complete."""
        self._places.give(cycle)
        if self._held_places:
            self._held_places -= 1
            self._port.give(cycle + self._response_cycles - 1)
        self.idle = cycle + self._response_cycles
        if last:
            self.pending -= 1
        self.wake()

    def almost(self, cycle: int) -> None:
        """The beat moved in ``cycle`` behind which the serialiser's last one of a tile finds a place."""
        self._executor.tile_free(cycle + TILE_FREE_CYCLES)

    def _pieces(self, work: Any) -> int:
        return work.drain.blocks * work.drain.tiles

    def _run(self) -> Iterator[None]:
        walker_ready = 0
        moved, ended = LONG_AGO, LONG_AGO
        while True:
            while not self._waiting:
                yield
            cycle, work = self._take(walker_ready)
            offer = cycle + MACHINE.tile_walker_cycles
            for block in range(work.drain.blocks):
                for tile in range(work.drain.tiles):
                    while not self._complete:
                        yield
                    complete = self._complete.popleft() + MACHINE.tile_run_cycles
                    accept = max(offer, complete, moved + 1)
                    offer = accept + MACHINE.tile_walker_cycles
                    walker_ready = accept + MACHINE.tile_walker_accept_cycles
                    plan = work.plan(block, tile)
                    moved = max(accept, ended) + 1
                    issue = moved + 1
                    data = accept + SERIALISE_CYCLES
                    if self._places.moves_as_a_whole(plan, issue):
                        self._places.whole()
                        self._push(data, plan.beats, 0, plan.ends, issue + ADDRESS_CYCLES)
                        ended = yield from self._places.issued(plan, len(plan.lengths) - 1, issue)
                        continue
                    for end, beats in zip(plan.ends, plan.lengths, strict=True):
                        place = yield from self._places.take()
                        issue = max(issue, place)
                        self._held_places += 1
                        taken = partial(self._push, data, plan.beats, end - beats, (beats,))
                        self._port.offer(issue + ADDRESS_CYCLES, taken)
                        ended, issue = issue, issue + 1

    def _push(self, data: int, tile: int, before: int, ends: tuple[int, ...], address: int) -> None:
        """Bursts of a tile of ``tile`` beats, behind ``before`` of them, whose address is taken."""
        ready = max(address + WRITE_DATA_CYCLES, data)
        last = before + ends[-1] == tile
        # Where the serialiser's last beat finds its place.
        cut = tile - MACHINE.write_beats - before
        divided = 0 < cut < ends[-1]
        whole = Transfer(address, ready, ends, self, last, moved=cut if divided else 0)
        first = whole
        if divided:
            first = Transfer(address, ready, ends, _Almost(self), False, stop=cut)
        elif cut == ends[-1]:
            whole.owner = _Almost(self, self)
        if first is not whole:
            self._channels.push(WRITE_0, first)
        self._channels.push(WRITE_0, whole)


class _Almost:
    """Owner of a tile's beats up to the one that lets its last one follow.

    ``engine``: whom else to tell, where a burst ends there.
    """

    def __init__(self, drain: DrainEngine, engine: DrainEngine | None = None) -> None:
        self._drain, self._engine = drain, engine

    def finished(self, cycle: int, last: bool) -> None:
        """That beat moved."""
        self._drain.almost(cycle)
        if self._engine:
            self._engine.finished(cycle, last)
