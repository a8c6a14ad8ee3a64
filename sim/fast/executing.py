"""EXEC in time: executor, array and collector."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.order import tile_interval_cycles
from cpt.sim.fast.channels import LONG_AGO
from cpt.sim.fast.engine import Engine
from cpt.sim.fast.loading import LoadEngine
from cpt.sim.fast.pipeline import collect_cycles


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
        self._interval_cycles = tile_interval_cycles(config)
        self._collect_cycles = collect_cycles(config)
        self._ready_a = LONG_AGO if held_a else None
        self._free_tiles = deque([LONG_AGO] * (MACHINE.result_tiles - open_tiles))
        self._held: deque[tuple[int, Any]] = deque()
        self._accept_from = [0] * MACHINE.exec_commands
        """Cycles from which each place for a command may be taken, the next one first."""
        self.on_complete: Callable[[int], None] = lambda cycle: None
        self.busy = self.wait_fetch = self.wait_drain = 0
        super().__init__(on_accept)

    def tile_free(self, cycle: int) -> None:
        """DRAIN has sent a tile; its place may be taken from ``cycle`` on."""
        self._free_tiles.append(cycle)
        self.wake()

    def _pieces(self, work: Any) -> int:
        return 1

    def wake(self) -> None:
        """Accept what there is a place for, and go on as far as possible."""
        self._accept()
        super().wake()

    def _accept(self) -> None:
        """Commands into places that are known to become free."""
        while self._waiting and self._accept_from:
            after = self.accepted[-1] + 1 if self.accepted else 0
            self._held.append(self._take(max(after, self._accept_from.pop(0))))

    def _run(self) -> Iterator[None]:
        load_a, load_b = self._loads
        last, collected = -1, LONG_AGO
        ready_a = self._ready_a
        while True:
            while not self._held:
                yield
            cycle, work = self._held.popleft()
            start = max(cycle + MACHINE.exec_start_cycles, last + 1)
            while ready_a is None:
                if load_a.loaded:
                    ready_a = load_a.loaded.popleft() + MACHINE.exec_block_cycles
                else:
                    yield
            for _ in range(work.blocks):
                while not load_b.loaded:
                    yield
                ready = max(ready_a, load_b.loaded.popleft() + MACHINE.exec_block_cycles)
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
                    collected = last + self._interval_cycles
                    start = last + 1
                    if work.last:
                        self.on_complete(last + self._collect_cycles)
                load_b.release(last + MACHINE.exec_release_cycles)
                load_b.wake()
            if work.release_a:
                ready_a = None
                load_a.release(last + MACHINE.exec_release_cycles)
                load_a.wake()
            self.pending -= 1
            self.idle = last + self._collect_cycles + MACHINE.exec_idle_cycles
            self._accept_from.append(last + MACHINE.exec_accept_cycles)
            self._accept()
