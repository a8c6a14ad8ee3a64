"""What every block's bench is made of: a clocked scheduler and stream agents with random back-pressure.

All agents of a bench take turns in one coroutine: at the falling edge each drives its inputs, then, once the
design has settled, each samples. A transfer seen then takes place at the next rising edge.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from cpt.sim.scoreboard import Mismatch, Scoreboard

CLOCK_NS = 10
RESET_CYCLES = 4
WAIT_CYCLES = 100_000
"""Cycles after which `Bench.until` gives up."""
ROUND_CYCLES = 50_000
"""Cycles a bench may take for each of its rounds."""


class BenchTimeout(AssertionError):
    """Something a bench waits for did not happen."""


class Agent(Protocol):
    """One participant of a bench."""

    def drive(self) -> None:
        """Set the design's inputs for this cycle."""

    def sample(self) -> None:
        """Look at the settled design."""

    @property
    def outstanding(self) -> int:
        """What is still owed or expected; zero at the end of a bench."""


class Bench:
    """A block under test, its agents and its scoreboard.

    After `step` the settled values of that cycle can be read with `get`; `set` changes an input from the next
    cycle on.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.board = Scoreboard()
        self.agents: list[Agent] = []
        self.cycle = 0
        self._last_cycle = ROUND_CYCLES * rounds()
        self._writes: dict[str, int] = {}

    async def start(self) -> None:
        """Start the clock and leave reset."""
        Clock(self.dut.clk, CLOCK_NS, unit="ns").start()
        self.set("rst", 1)
        for _ in range(RESET_CYCLES):
            await self._half_step()
        self.set("rst", 0)

    def set(self, name: str, value: int) -> None:
        """Drive input ``name`` with ``value`` from the next cycle on."""
        self._writes[name] = value

    def get(self, name: str) -> int:
        """Settled value of ``name``, read as unsigned."""
        return int(getattr(self.dut, name).value)

    async def step(self, cycles: int = 1) -> None:
        """Let ``cycles`` clock cycles pass; raises `BenchTimeout` if the whole bench takes too long."""
        for _ in range(cycles):
            if self.cycle >= self._last_cycle:
                raise BenchTimeout(f"bench not finished after {self.cycle} cycles")
            await self._half_step()
            for agent in self.agents:
                agent.sample()
            self.cycle += 1

    async def _half_step(self) -> None:
        await FallingEdge(self.dut.clk)
        for name, value in self._writes.items():
            getattr(self.dut, name).value = value
        self._writes.clear()
        for agent in self.agents:
            agent.drive()
        await ReadOnly()

    async def until(self, condition: Callable[[], bool], what: str, limit: int = WAIT_CYCLES) -> None:
        """Step until ``condition()``; raises `BenchTimeout` naming ``what`` after ``limit`` cycles."""
        for _ in range(limit):
            await self.step()
            if condition():
                return
        raise BenchTimeout(f"{what} did not happen within {limit} cycles")

    async def settle(self, cycles: int = 20) -> None:
        """Step until no agent has anything outstanding, then ``cycles`` more, in which nothing may come."""
        await self.until(
            lambda: not any(agent.outstanding for agent in self.agents), "the end of all transfers"
        )
        await self.step(cycles)

    def finish(self) -> None:
        """Fail if anything is outstanding or nothing was compared."""
        for agent in self.agents:
            if agent.outstanding:
                raise Mismatch(f"{type(agent).__name__} has {agent.outstanding} outstanding; expected none")
        self.dut._log.info("%d values compared in %d cycles", self.board.finish(), self.cycle)


def option(name: str, default: str) -> str:
    """The runner's option ``+name=value``."""
    return str(cocotb.plusargs.get(name, default))


def rounds() -> int:
    """How many random rounds the runner asked for."""
    return int(option("rounds", "4"))


def random_stall() -> float:
    """A probability of back-pressure for one agent: none, some or a lot."""
    return random.choice((0.0, 0.2, 0.7))


def numpy_rng() -> np.random.Generator:
    """A numpy generator that follows cocotb's seed."""
    return np.random.default_rng(random.getrandbits(63))


def width_of(layout: Any) -> int:
    """Bits of a payload: an Amaranth layout, or the width itself."""
    return layout if isinstance(layout, int) else int(layout.size)


def pack(layout: data.StructLayout | data.UnionLayout, values: Mapping[str, Any]) -> int:
    """The bits of a structure; nested structures as mappings. Every field must be given and fit.

    Of a union the one field that is given.
    """
    word = 0
    fields = dict(layout)
    if isinstance(layout, data.UnionLayout):
        fields = {name: fields[name] for name in values}
    if set(fields) != set(values):
        raise ValueError(f"fields are {sorted(values)}; allowed: {sorted(fields)}")
    for name, field in fields.items():
        value = values[name]
        if isinstance(value, Mapping):
            value = pack(field.shape, value)
        if not 0 <= value < 1 << field.width:
            raise ValueError(f"{name} is {value}; allowed: 0..{(1 << field.width) - 1}")
        word |= int(value) << field.offset
    return word


def unpack(layout: data.StructLayout, word: int) -> dict[str, Any]:
    """The fields of a structure, nested ones as dictionaries."""
    values: dict[str, Any] = {}
    for name, field in layout:
        part = word >> field.offset & ((1 << field.width) - 1)
        values[name] = unpack(field.shape, part) if isinstance(field.shape, data.StructLayout) else part
    return values


class Source:
    """Sends payloads into stream ``name`` of a bench, holding back with probability ``stall`` per cycle."""

    def __init__(self, bench: Bench, name: str, layout: Any, stall: float = 0.0) -> None:
        self._valid, self._ready, self._payload = (
            getattr(bench.dut, f"{name}__{part}") for part in ("valid", "ready", "payload")
        )
        self.stall = stall
        self.sent = 0
        self._width = width_of(layout)
        self._queue: deque[int] = deque()
        self._offered = False
        bench.agents.append(self)

    def put(self, *payloads: int) -> None:
        """Queue payloads, as integers."""
        self._queue.extend(payloads)

    @property
    def outstanding(self) -> int:
        """Payloads not yet taken."""
        return len(self._queue)

    def drive(self) -> None:
        """Offer the next payload; while idle the payload is noise."""
        if not self._offered:
            self._offered = bool(self._queue) and random.random() >= self.stall
            self._payload.value = self._queue[0] if self._offered else random.getrandbits(self._width)
        self._valid.value = int(self._offered)

    def sample(self) -> None:
        """Note the transfer."""
        if self._offered and int(self._ready.value):
            self._queue.popleft()
            self.sent += 1
            self._offered = False


class Sink:
    """Collects the payloads of stream ``name`` and checks that valid and payload stand until the transfer."""

    def __init__(self, bench: Bench, name: str, stall: float = 0.0) -> None:
        self._valid, self._ready, self._payload = (
            getattr(bench.dut, f"{name}__{part}") for part in ("valid", "ready", "payload")
        )
        self.name = name
        self.stall = stall
        self.enabled = True
        self.received: list[int] = []
        self._held: int | None = None
        bench.agents.append(self)

    @property
    def outstanding(self) -> int:
        """Payloads received and not yet taken by the bench, and one that waits for ready."""
        return len(self.received) + (self._held is not None)

    def take(self) -> list[int]:
        """All payloads received since the last call."""
        taken, self.received = self.received, []
        return taken

    def drive(self) -> None:
        """Be ready or not, whatever valid is."""
        self._ready.value = int(self.enabled and random.random() >= self.stall)

    def sample(self) -> None:
        """Check the stream's rules and note the transfer."""
        valid, payload = int(self._valid.value), int(self._payload.value)
        if self._held is not None:
            if not valid:
                raise Mismatch(f"{self.name}: valid withdrawn before the transfer")
            if payload != self._held:
                raise Mismatch(
                    f"{self.name}: payload changed from {self._held:#x} to {payload:#x} while waiting"
                )
        self._held = None
        if valid:
            if int(self._ready.value):
                self.received.append(payload)
            else:
                self._held = payload


class Every:
    """Calls ``drive`` and ``sample`` each cycle: the small parts of a bench that are no stream."""

    outstanding = 0

    def __init__(
        self, bench: Bench, drive: Callable[[], None] | None = None, sample: Callable[[], None] | None = None
    ) -> None:
        self.drive = drive or _nothing
        self.sample = sample or _nothing
        bench.agents.append(self)


def _nothing() -> None:
    """What an agent does that only drives or only samples."""


def split_runs(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Bursts ``(address, beats)`` that runs must be cut into: at most 16 beats, ends at multiples of 128."""
    bursts = []
    for address, beats in runs:
        while beats:
            size = min(beats, 16 - address // 8 % 16)
            bursts.append((address, size))
            address, beats = address + 8 * size, beats - size
    return bursts
