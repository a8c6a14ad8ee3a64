"""cpt.hw.control.control, hw.watchdog, hw.counters."""

from __future__ import annotations

from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import Counter, Error
from cpt.hw.control.control import SETTLE_CYCLES, Control
from cpt.hw.control.counters import Counters
from cpt.hw.control.watchdog import Watchdog


@pytest.mark.parametrize("error", list(Error))
def test_every_error_but_busy_write_halts(error: Error) -> None:
    block = Control()

    async def bench(ctx: Any) -> None:
        await ctx.tick()
        ctx.set(block.quiet, 1)
        ctx.set(block.working, 1)
        ctx.set(block.errors, 1 << error)
        await ctx.tick()
        ctx.set(block.errors, 0)
        halts = error != Error.BUSY_WRITE
        for _ in range(SETTLE_CYCLES + 1):
            assert ctx.get(block.halted) == ctx.get(block.stop) == halts
            assert ctx.get(block.busy), "a stop was taken for done before it had arrived everywhere"
            await ctx.tick()
        for _ in range(5):
            assert ctx.get(block.halted) == ctx.get(block.stop) == halts
            assert ctx.get(block.busy) == (not halts)
            await ctx.tick()

    simulate(block, bench)


def test_a_halted_machine_is_busy_until_its_transfers_end() -> None:
    block = Control()

    async def bench(ctx: Any) -> None:
        await ctx.tick()
        ctx.set(block.working, 1)
        ctx.set(block.errors, 1 << Error.AXI_READ)
        await ctx.tick()
        ctx.set(block.errors, 0)
        for _ in range(3 * SETTLE_CYCLES):
            assert ctx.get(block.busy)
            await ctx.tick()
        ctx.set(block.quiet, 1)
        await ctx.tick()
        assert not ctx.get(block.busy)

    simulate(block, bench)


def test_soft_reset_stops_at_once_and_takes_effect_when_quiet() -> None:
    block = Control()

    async def bench(ctx: Any) -> None:
        assert ctx.get(block.reset), "the first cycle resets"
        await ctx.tick()
        ctx.set(block.soft_reset, 1)
        await ctx.tick()
        ctx.set(block.soft_reset, 0)
        await ctx.tick()
        for _ in range(2 * SETTLE_CYCLES):
            assert ctx.get(block.stop)
            assert ctx.get(block.busy)
            assert not ctx.get(block.reset)
            await ctx.tick()
        ctx.set(block.quiet, 1)
        await ctx.tick()
        assert ctx.get(block.reset)
        assert ctx.get(block.stop)
        assert ctx.get(block.busy)
        await ctx.tick()
        assert not ctx.get(block.reset)
        assert not ctx.get(block.stop)
        assert not ctx.get(block.busy)

    simulate(block, bench)


def test_a_soft_reset_waits_until_its_stop_has_arrived_everywhere() -> None:
    block = Control()

    async def bench(ctx: Any) -> None:
        ctx.set(block.quiet, 1)
        await ctx.tick()
        ctx.set(block.soft_reset, 1)
        await ctx.tick()
        ctx.set(block.soft_reset, 0)
        for _ in range(SETTLE_CYCLES + 1):
            assert ctx.get(block.stop)
            assert not ctx.get(block.reset), "an engine may just have put a burst on its port"
            await ctx.tick()
        assert ctx.get(block.reset)

    simulate(block, bench)


def test_the_watchdog_counts_only_idle_cycles_while_busy() -> None:
    block = Watchdog()

    async def bench(ctx: Any) -> None:
        ctx.set(block.busy, 1)
        await ctx.tick().repeat(50)
        assert not ctx.get(block.expired), "0 turns it off"
        ctx.set(block.progress, 1)
        ctx.set(block.limit, 10)
        await ctx.tick()
        ctx.set(block.progress, 0)
        for _ in range(10 + block.latency_cycles):
            assert not ctx.get(block.expired)
            await ctx.tick()
        assert ctx.get(block.expired)
        ctx.set(block.progress, 1)
        await ctx.tick().repeat(2)
        assert not ctx.get(block.expired)
        ctx.set(block.progress, 0)
        ctx.set(block.busy, 0)
        await ctx.tick().repeat(30)
        assert not ctx.get(block.expired)

    simulate(block, bench)


def test_counters_add_and_clear() -> None:
    block = Counters()

    async def bench(ctx: Any) -> None:
        await ctx.tick().repeat(block.clear_cycles)
        for counter in Counter:
            ctx.set(block.increment[counter], int(counter) + 1)
        await ctx.tick().repeat(100)
        for counter in Counter:
            ctx.set(block.increment[counter], 0)
        await ctx.tick().repeat(2)
        assert [ctx.get(block.value[counter]) for counter in Counter] == [100 * (c + 1) for c in Counter]
        ctx.set(block.clear, 1)
        await ctx.tick()
        ctx.set(block.clear, 0)
        await ctx.tick().repeat(block.clear_cycles)
        assert [ctx.get(block.value[counter]) for counter in Counter] == [0] * len(Counter)

    simulate(block, bench)
