"""The other sides of ports of the step machine, for tests of single blocks: the bus behind its masters."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np


class WriteSide:
    """A write master with its memory: runs and beats in, in any order that they come in, answers in order.

    ``memory`` starts as noise, kept in ``before``. ``stall``: how likely a cycle takes or
    answers nothing.
    """

    def __init__(
        self, runs: Any, beats: Any, answered: Any, size: int, rng: random.Random, stall: float
    ) -> None:
        self.runs, self.beats, self.answered, self.rng, self.stall = runs, beats, answered, rng, stall
        self.memory = np.frombuffer(rng.randbytes(size), np.uint8).copy()
        self.before = self.memory.copy()
        self.places: list[tuple[int, int]] = []
        """Address and beats of every run."""
        self.data: list[int] = []
        self.answered_runs = 0
        self.over = False

    def benches(self) -> list[Callable[[Any], Any]]:
        """Testbenches; they end when ``over`` is set."""

        async def take_runs(ctx: Any) -> None:
            while not self.over:
                # As many without an answer as a write master takes.
                room = len(self.places) - self.answered_runs < 10
                ctx.set(self.runs.ready, int(room and self.rng.random() >= self.stall))
                _, _, valid, ready, run = await ctx.tick().sample(
                    self.runs.valid, self.runs.ready, self.runs.payload
                )
                if valid and ready:
                    assert run.addr % 8 == 0
                    assert run.beats
                    self.places.append((run.addr, run.beats))

        async def take_beats(ctx: Any) -> None:
            while not self.over:
                wanted = sum(beats for _, beats in self.places)
                ready = len(self.data) < wanted + 2 and self.rng.random() >= self.stall
                ctx.set(self.beats.ready, int(ready))
                _, _, valid, ready, beat = await ctx.tick().sample(
                    self.beats.valid, self.beats.ready, self.beats.payload
                )
                if valid and ready:
                    self.data.append(beat)

        async def answer(ctx: Any) -> None:
            ended = 0
            while not self.over:
                answers = False
                if self.answered_runs < len(self.places):
                    address, beats = self.places[self.answered_runs]
                    if len(self.data) >= ended + beats and self.rng.random() >= self.stall:
                        found = np.array(self.data[ended : ended + beats], "<u8").view(np.uint8)
                        self.memory[address : address + 8 * beats] = found
                        ended += beats
                        answers = True
                        self.answered_runs += 1
                ctx.set(self.answered, int(answers))
                await ctx.tick()
                ctx.set(self.answered, 0)
                for _ in range(3):
                    await ctx.tick()

        return [take_runs, take_beats, answer]
