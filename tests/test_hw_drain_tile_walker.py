"""cpt.hw.drain.tile_walker: every result tile gets its place, however many there are."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hw_streams import SMALL, simulate

from cpt.hw.contract.machine import MACHINE
from cpt.hw.drain.tile_walker import TileWalker

BASE, BLOCK, TILE = 0xF000_0000, 0x1_0008, 0x3000_0400
LOOKED_AT = 40


def expected_tiles(blocks: int, tiles: int) -> list[int]:
    """Addresses of the first tiles; they wrap at 4 GB."""
    places = (divmod(number, tiles) for number in range(min(blocks * tiles, LOOKED_AT)))
    return [(BASE + block * BLOCK + tile * TILE) % (1 << 32) for block, tile in places]


def walk(blocks: int, tiles: int) -> tuple[list[int], bool]:
    """Addresses of the first tiles of a command, and whether it has ended."""
    walker = TileWalker(SMALL)
    addresses: list[int] = []
    ended = [False]

    async def bench(ctx: Any) -> None:
        payload = {"bytes": 1, "base": BASE, "block_stride": BLOCK, "tile_stride": TILE}
        ctx.set(walker.commands.payload, payload | {"blocks": blocks, "tiles": tiles})
        ctx.set(walker.commands.valid, 1)
        ctx.set(walker.runs.ready, 1)
        ctx.set(walker.tiles.ready, 1)
        await ctx.tick().until(walker.commands.ready)
        ctx.set(walker.commands.valid, 0)
        # There is always a complete tile; it goes to the data side some cycles after its run.
        ctx.set(walker.complete, 1)
        ticks = ctx.tick().sample(walker.runs.valid, walker.runs.payload, walker.tiles.valid, walker.idle)
        cycle, given = 0, deque([0] * MACHINE.run_tile_cycles)
        async for _, _, valid, run, placed, idle in ticks:
            ended[0] = bool(idle)
            if ended[0] or len(addresses) == LOOKED_AT:
                return
            cycle += 1
            assert placed == given.popleft()
            given.append(valid)
            if valid:
                addresses.append(run.addr)
                assert cycle == len(addresses) * MACHINE.tile_walker_cycles

    simulate(walker, bench)
    return addresses, ended[0]


@pytest.mark.parametrize(("blocks", "tiles"), [(1, 1), (1, 39), (39, 1), (3, 4), (5, 2)])
def test_as_many_tiles_are_placed_as_the_counts_say(blocks: int, tiles: int) -> None:
    assert walk(blocks, tiles) == (expected_tiles(blocks, tiles), True)


@pytest.mark.parametrize(("name", "width"), [("blocks", 16), ("tiles", 10)])
def test_every_bit_of_a_count_counts(name: str, width: int) -> None:
    """A counter that lost one of its bits would end after the first of ``2**bit + 1``, or of the most."""
    for count in (*((1 << bit) + 1 for bit in range(6, width)), (1 << width) - 1):
        counts = {"blocks": 1, "tiles": 1, name: count}
        assert walk(**counts) == (expected_tiles(**counts), False), count
