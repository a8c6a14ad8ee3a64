"""Shared by the tests of single blocks in Amaranth's simulator: streams, their rules, a deadline."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import UnusedElaboratable, Value
from amaranth.sim import Simulator

from cpt.hw.contract import ArrayConfig

SMALL = ArrayConfig("small", rows=2, word_bits=18, cols=8, a_depth_words=32, b_depth_words=32)
"""The smallest array worth testing."""
DEADLINE_CYCLES = 20_000
PERIOD_S = 1e-8


async def stream_put(
    ctx: Any, stream: Any, payloads: Sequence[Any], rng: random.Random, stall: float
) -> None:
    """Send ``payloads``, holding back with probability ``stall`` per cycle."""
    for payload in payloads:
        while rng.random() < stall:
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)


async def stream_get(ctx: Any, stream: Any, count: int, rng: random.Random, stall: float) -> list[Any]:
    """Receive ``count`` payloads, not ready with probability ``stall`` per cycle."""
    received = []
    while len(received) < count:
        ctx.set(stream.ready, int(rng.random() >= stall))
        _, _, valid, ready, payload = await ctx.tick().sample(stream.valid, stream.ready, stream.payload)
        if valid and ready:
            received.append(payload)
    ctx.set(stream.ready, 0)
    return received


def stream_rules(stream: Any) -> Callable[[Any], Any]:
    """A process that fails when ``valid`` is withdrawn or the payload changes before the transfer."""

    async def check(ctx: Any) -> None:
        waiting = None
        while True:
            _, reset, valid, ready, payload = await ctx.tick().sample(
                stream.valid, stream.ready, stream.payload
            )
            if waiting is not None and not reset:
                assert valid, "valid was withdrawn before the transfer"
                assert payload == waiting, f"payload changed from {waiting} to {payload} while waiting"
            waiting = payload if valid and not ready else None

    return check


class Held:
    """The context of a test bench; setting what is held already is free, any other set settles the design."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx
        self.get, self.tick = ctx.get, ctx.tick

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def set(self, target: Any, value: Any) -> None:
        """As the context's own."""
        plain = isinstance(target, Value) and isinstance(value, int)
        if not plain or self.get(target) != value:
            self._ctx.set(target, value)


class Simulation:
    """A block elaborated and compiled once, which takes longer than a short run, and run many times."""

    def __init__(self, block: Any) -> None:
        self._running: list[str] = []
        self._tasks: dict[str, list[Callable[[Any], Any]]] = {"bench": [], "background": [], "process": []}
        self._slots = dict.fromkeys(self._tasks, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            self._simulator = Simulator(block)
        self._simulator.add_clock(PERIOD_S)

    def run(
        self,
        *benches: Callable[[Any], Any],
        watch: Sequence[Any] = (),
        background: Sequence[Callable[[Any], Any]] = (),
    ) -> None:
        """`simulate` from the block's initial state."""
        self._running[:] = [bench.__name__ for bench in benches]
        self._simulator.reset()
        self._tasks["bench"] = [*map(self._until_end, benches), self._deadline]
        self._tasks["background"] = list(background)
        self._tasks["process"] = [stream_rules(stream) for stream in watch]
        for kind, tasks in self._tasks.items():
            while self._slots[kind] < len(tasks):
                self._add_slot(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            self._simulator.run()

    def _add_slot(self, kind: str) -> None:
        """What is added to a simulator stays; it does what the run at hand has for it, if anything."""
        index = self._slots[kind]
        self._slots[kind] += 1

        async def slot(ctx: Any) -> None:
            if index < len(self._tasks[kind]):
                await self._tasks[kind][index](ctx if kind == "process" else Held(ctx))

        if kind == "process":
            self._simulator.add_process(slot)
        else:
            self._simulator.add_testbench(slot, background=kind == "background")

    def _until_end(self, bench: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def run(ctx: Any) -> None:
            await bench(ctx)
            self._running.remove(bench.__name__)

        return run

    async def _deadline(self, ctx: Any) -> None:
        for _ in range(DEADLINE_CYCLES):
            if not self._running:
                return
            await ctx.tick()
        raise AssertionError(f"{', '.join(self._running)} did not end within {DEADLINE_CYCLES} cycles")


def simulate(
    block: Any,
    *benches: Callable[[Any], Any],
    watch: Sequence[Any] = (),
    background: Sequence[Callable[[Any], Any]] = (),
) -> None:
    """Run ``benches`` on ``block`` until all end, beside ``background``, which need not.

    ``watch``: streams whose rules are checked.

    Fails after `DEADLINE_CYCLES`.
    """
    Simulation(block).run(*benches, watch=watch, background=background)
