"""Shared by the tests of single blocks in Amaranth's simulator: streams, their rules, a deadline."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import UnusedElaboratable
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
    running = [bench.__name__ for bench in benches]

    def until_end(bench: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def run(ctx: Any) -> None:
            await bench(ctx)
            running.remove(bench.__name__)

        return run

    async def deadline(ctx: Any) -> None:
        for _ in range(DEADLINE_CYCLES):
            if not running:
                return
            await ctx.tick()
        raise AssertionError(f"{', '.join(running)} did not end within {DEADLINE_CYCLES} cycles")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(block)
        simulator.add_clock(PERIOD_S)
        for bench in benches:
            simulator.add_testbench(until_end(bench))
        simulator.add_testbench(deadline)
        for bench in background:
            simulator.add_testbench(bench, background=True)
        for stream in watch:
            simulator.add_process(stream_rules(stream))
        simulator.run()
