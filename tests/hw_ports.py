"""The other sides of ports of the step machine, for tests of single blocks: bus masters, memories on chip."""

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
        self.silent = False
        """Nothing is answered."""
        self.over = False

    def benches(self) -> list[Callable[[Any], Any]]:
        """Testbenches; they end when ``over`` is set."""

        async def take_runs(ctx: Any) -> None:
            while not self.over:
                # As many without an answer as guard, arbiter and write master take.
                room = len(self.places) - self.answered_runs < 12
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
                if self.answered_runs < len(self.places) and not self.silent:
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


class MemorySide:
    """A memory that takes runs and gives, after a while, with gaps, what lies there: a subclass says how."""

    def __init__(self, runs: Any, memory: np.ndarray, rng: random.Random, stall: float) -> None:
        self.runs, self.memory, self.rng, self.stall = runs, memory, rng, stall
        self.over = False
        self._due: list[tuple[int, int]] = []
        """Cycle, and what is given from then on."""
        self._cycle = 0

    def benches(self) -> list[Callable[[Any], Any]]:
        """Testbenches; they end when ``over`` is set."""
        return [self._take_runs, self._give]

    async def _take_runs(self, ctx: Any) -> None:
        while not self.over:
            room = len(self._due) < 128
            ctx.set(self.runs.ready, int(room and self.rng.random() >= self.stall))
            _, _, valid, ready, run = await ctx.tick().sample(
                self.runs.valid, self.runs.ready, self.runs.payload
            )
            self._cycle += 1
            if valid and ready:
                assert run.addr % 8 == 0
                assert run.beats
                found = self.memory[run.addr : run.addr + 8 * run.beats]
                self._due += [(self._cycle + 20, item) for item in self._items(found)]

    def _gives(self) -> bool:
        """Whether the next item is given now."""
        due = bool(self._due) and self._due[0][0] <= self._cycle
        return due and self.rng.random() >= self.stall


class ReadSide(MemorySide):
    """A read master with its memory: runs in, their beats, whether wanted or not."""

    def __init__(
        self, runs: Any, beat_valid: Any, beat: Any, memory: np.ndarray, rng: random.Random, stall: float
    ) -> None:
        super().__init__(runs, memory, rng, stall)
        self.beat_valid, self.beat = beat_valid, beat

    def _items(self, found: np.ndarray) -> list[int]:
        return [int(beat) for beat in found.view("<u8")]

    async def _give(self, ctx: Any) -> None:
        while not self.over:
            gives = self._gives()
            ctx.set(self.beat_valid, int(gives))
            ctx.set(self.beat, self._due.pop(0)[1] if gives else self.rng.getrandbits(64))
            await ctx.tick()
        ctx.set(self.beat_valid, 0)


class ReadPort:
    """A memory's read port; ``word(addr)`` is read when accepted, ``latency`` cycles before it comes.

    A port that `arrives` is told a cycle before.
    """

    def __init__(
        self, port: Any, word: Callable[[int], Any], latency: int, rng: random.Random, stall: float
    ) -> None:
        self.port, self.word, self.latency, self.rng, self.stall = port, word, latency, rng, stall
        self.reads = 0

    async def bench(self, ctx: Any) -> None:
        """Background testbench."""
        due: list[Any] = [None] * self.latency
        while True:
            ctx.set(self.port.ready, int(self.rng.random() >= self.stall))
            _, _, valid, ready, addr = await ctx.tick().sample(
                self.port.valid, self.port.ready, self.port.addr
            )
            due.append(self.word(addr) if valid and ready else None)
            self.reads += valid and ready
            due.pop(0)
            if hasattr(self.port, "arrives"):
                ctx.set(self.port.arrives, int(due[1] is not None))
            if due[0] is not None:
                if isinstance(due[0], list) and not hasattr(self.port.data, "shape"):
                    for part, value in zip(self.port.data, due[0], strict=True):
                        ctx.set(part, value)
                else:
                    ctx.set(self.port.data, due[0])


class WritePort:
    """A memory's write port: what is accepted goes to ``store(port values)``."""

    def __init__(self, port: Any, store: Callable[..., None], rng: random.Random, stall: float) -> None:
        self.port, self.store, self.rng, self.stall = port, store, rng, stall

    async def bench(self, ctx: Any) -> None:
        """Background testbench."""
        port = self.port
        data = [port.data] if hasattr(port.data, "shape") else list(port.data)
        enables = [port.en] if hasattr(port, "en") else []
        free = port.free if hasattr(port, "free") else port.ready
        bits = (len(free) - 1).bit_length()
        while True:
            ctx.set(free, sum((self.rng.random() >= self.stall) << bank for bank in range(len(free))))
            _, _, valid, ready, addr, *values = await ctx.tick().sample(
                port.valid, free, port.addr, *enables, *data
            )
            if valid and ready >> (addr >> len(port.addr) - bits) & 1:
                self.store(addr, *values)


class WordSide(MemorySide):
    """A reader of two ports with its memory: runs in, their words of 16 bytes, in order."""

    def __init__(self, runs: Any, words: Any, memory: np.ndarray, rng: random.Random, stall: float) -> None:
        super().__init__(runs, memory, rng, stall)
        self.words = words

    def _items(self, found: np.ndarray) -> list[int]:
        assert len(found) % 16 == 0
        data = found.tobytes()
        return [int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16)]

    async def _give(self, ctx: Any) -> None:
        while not self.over:
            gives = self._gives()
            ctx.set(self.words.valid, int(gives))
            ctx.set(self.words.payload, self._due[0][1] if gives else self.rng.getrandbits(128))
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(self.words.ready)
                ready = ready or not gives
            if gives:
                self._due.pop(0)
        ctx.set(self.words.valid, 0)
