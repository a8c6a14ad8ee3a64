"""cpt.hw.load.walker: a run of memory for every plane of every tile of every block, however many."""

from __future__ import annotations

from typing import Any

import pytest
from hw_streams import SMALL, simulate

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.load.walker import Walker

STRIDES = {"block_stride": 0x1_0008, "tile_stride": 0x3000_0400, "plane_stride": 0x500_0050}
BASE = 0xF000_0000
LOOKED_AT = 40


def expected_runs(counts: dict[str, int]) -> list[int]:
    """Addresses of the first runs; they wrap at 4 GB."""
    block, tile, plane = STRIDES.values()
    runs: list[int] = []
    for b in range(counts["blocks"]):
        for t in range(counts["tiles"]):
            for p in range(counts["bits"]):
                if len(runs) == LOOKED_AT:
                    return runs
                runs.append((BASE + b * block + t * tile + p * plane) % (1 << 32))
    return runs


def walk(counts: dict[str, int]) -> tuple[list[int], int, bool]:
    """Addresses of the first runs of a command, blocks started by then, and whether it has ended."""
    walker = Walker(SMALL, "a")
    addresses: list[int] = []
    started, ended = [0], [False]

    async def bench(ctx: Any) -> None:
        payload = {"ksteps": 1, "base": BASE, "block_words": 1, **STRIDES, **counts}
        ctx.set(walker.commands.payload, payload)
        ctx.set(walker.commands.valid, 1)
        ctx.set(walker.runs.ready, 1)
        ctx.set(walker.blocks.ready, 1)
        await ctx.tick().until(walker.commands.ready)
        ctx.set(walker.commands.valid, 0)
        ticks = ctx.tick().sample(walker.runs.valid, walker.runs.payload, walker.blocks.valid, walker.idle)
        async for _, _, valid, run, start, idle in ticks:
            ended[0] = bool(idle)
            if ended[0] or len(addresses) == LOOKED_AT:
                return
            if valid:
                assert run.beats == SMALL.group_bytes("a") // BEAT_BYTES
                addresses.append(run.addr)
            started[0] += start
            # What EXEC gives back: never more than the halves that are taken.
            ctx.set(walker.release, start)

    simulate(walker, bench)
    return addresses, started[0], ended[0]


@pytest.mark.parametrize(
    "counts",
    [
        {"blocks": 1, "tiles": 1, "bits": 1},
        {"blocks": 13, "tiles": 3, "bits": 1},
        {"blocks": 2, "tiles": 1, "bits": 16},
        {"blocks": 3, "tiles": 4, "bits": 3},
        {"blocks": 1, "tiles": 19, "bits": 2},
    ],
)
def test_as_many_runs_come_as_the_counts_say(counts: dict[str, int]) -> None:
    expected = expected_runs(counts)
    assert len(expected) < LOOKED_AT
    assert walk(counts) == (expected, counts["blocks"], True)


@pytest.mark.parametrize(("name", "width"), [("blocks", 16), ("tiles", 10)])
def test_every_bit_of_a_count_counts(name: str, width: int) -> None:
    """A counter that lost one of its bits would end after the first of ``2**bit + 1``, the second of
    ``2**bit + 2``, or one of the most.
    """
    powers = [1 << bit for bit in range(6, width)]
    for count in (*(power + n for power in powers for n in (1, 2)), (1 << width) - 1):
        counts = {"blocks": 1, "tiles": 1, "bits": 1, name: count}
        addresses, started, ended = walk(counts)
        assert addresses == expected_runs(counts), count
        assert len(addresses) == LOOKED_AT
        assert started in ({"blocks": (LOOKED_AT, LOOKED_AT + 1), "tiles": (1,)}[name])
        assert not ended


def test_runs_come_after_the_cycles_that_the_contract_says_one_in_two() -> None:
    walker = Walker(SMALL, "a")
    cycles: list[int] = []
    taken: list[int] = []

    async def bench(ctx: Any) -> None:
        counts = {"blocks": 1, "tiles": 2, "bits": 3}
        payload = {"ksteps": 1, "base": BASE, "block_words": 6, **STRIDES, **counts}
        ctx.set(walker.commands.payload, payload)
        ctx.set(walker.commands.valid, 1)
        ctx.set(walker.runs.ready, 1)
        cycle = 0
        while len(cycles) < 6:
            _, _, accepted, valid = await ctx.tick().sample(walker.commands.ready, walker.runs.valid)
            if accepted:
                taken.append(cycle + 1)
                ctx.set(walker.commands.valid, 0)
            if valid:
                cycles.append(cycle)
            cycle += 1

    simulate(walker, bench)
    first = taken[0] + MACHINE.walker_cycles
    assert cycles == [first + 2 * n for n in range(6)]
