"""A simple memory behind an AXI read master, for the tests of single blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any


class ReadMemory:
    """Answers addresses in order, after a latency, with random gaps; checks the burst rules.

    The word at byte address ``a`` is ``word(a)``. ``stop()`` true ends its testbenches.
    """

    def __init__(self, ar: Any, r: Any, word: Callable[[int], int], rng: random.Random, stall: float) -> None:
        self.ar, self.r, self.word, self.rng, self.stall = ar, r, word, rng, stall
        self.bursts: list[tuple[int, int]] = []
        self.beats = 0
        self.latency_cycles = 5
        self.resp = 0
        self.refused: set[int] = set()
        """Beats that are answered with an error."""
        self.most_open = 0
        self._due: list[tuple[int, int, int]] = []
        self._cycle = 0

    @property
    def open(self) -> bool:
        """Whether an address is not answered to its end."""
        return bool(self._due)

    def benches(self, stop: Callable[[], bool]) -> list[Callable[[Any], Any]]:
        """Testbenches for both channels."""

        async def addresses(ctx: Any) -> None:
            while not stop():
                ctx.set(self.ar.ready, int(self.rng.random() >= self.stall))
                _, _, valid, ready, address = await ctx.tick().sample(
                    self.ar.valid, self.ar.ready, self.ar.payload
                )
                self._cycle += 1
                if valid and ready:
                    beats = address.len + 1
                    assert address.addr % 8 == 0
                    assert address.addr % 128 + 8 * beats <= 128, "burst crosses a multiple of 128 bytes"
                    self.bursts.append((address.addr, beats))
                    self._due.append((self._cycle + self.latency_cycles, address.addr, beats))
                    self.most_open = max(self.most_open, len(self._due))

        async def data(ctx: Any) -> None:
            while not stop():
                if not self._due or self._due[0][0] > self._cycle:
                    await ctx.tick()
                    continue
                _, address, beats = self._due[0]
                for index in range(beats):
                    while self.rng.random() < self.stall:
                        await ctx.tick()
                    ctx.set(
                        self.r.payload,
                        {
                            "data": self.word(address + 8 * index),
                            "resp": 2 if address + 8 * index in self.refused else self.resp,
                            "last": index == beats - 1,
                        },
                    )
                    ctx.set(self.r.valid, 1)
                    await ctx.tick().until(self.r.ready)
                    ctx.set(self.r.valid, 0)
                    self.beats += 1
                self._due.pop(0)

        return [addresses, data]
