"""The result buffer as the drain side sees it: two tiles, filled when free, rows come some cycles later."""

from __future__ import annotations

import random
from collections import deque

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import result_rows
from cpt.sim.bench.core import Bench
from cpt.sim.bench.rows import random_row
from cpt.sim.scoreboard import Mismatch


class ResultTiles:
    """Fills tiles with random rows in turn, at most two undrained, and answers the drain's read port.

    ``complete`` pulses once per filled tile if the block under test has that input.
    """

    def __init__(self, bench: Bench, config: ArrayConfig) -> None:
        self.bench, self.config, self.dut = bench, config, bench.dut
        self.rows = result_rows(config)
        self.slow = 0.0
        self.wanted = 0
        """Tiles still to fill."""
        self.filled: deque[list[int]] = deque()
        """Rows of every tile filled, until the bench takes them."""
        self.freed = 0
        self._memory = [0] * (MACHINE.result_tiles * self.rows)
        self._used = 0
        self._next = 0
        self._rows = deque([0] * MACHINE.result_buffer_cycles)
        """Rows on their way to the drain."""
        bench.agents.append(self)

    @property
    def outstanding(self) -> int:
        """Tiles not yet sent, or not yet filled."""
        return self._used + self.wanted

    def drive(self) -> None:
        """Fill a free tile, at random; hand out the row addressed some cycles before."""
        fill = self.wanted > 0 and self._used < MACHINE.result_tiles and random.random() >= self.slow
        if fill:
            tile = [random_row(self.config) for _ in range(self.rows)]
            self._memory[self._next * self.rows : (self._next + 1) * self.rows] = tile
            self.filled.append(tile)
            self._next ^= 1
            self._used += 1
            self.wanted -= 1
        if hasattr(self.dut, "complete"):
            self.dut.complete.value = int(fill)
        self.dut.drain_row.value = self._rows[0]

    def sample(self) -> None:
        """Note the address and the tiles given back."""
        address = self.bench.get("drain_addr")
        self._rows.popleft()
        self._rows.append(self._memory[address] if address < len(self._memory) else 0)
        if self.bench.get("tile_free"):
            self._used -= 1
            self.freed += 1
            if self._used < 0:
                raise Mismatch("tile_free came without a tile; expected one per tile")
