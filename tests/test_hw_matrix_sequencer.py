"""cpt.hw.matrix.sequencer: the order of plane pairs against the order of the contract."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import SMALL, simulate, stream_put

from cpt.hw.contract.config import ALL_TAPS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.order import plane_pairs
from cpt.hw.matrix.sequencer import Sequencer


def command(
    bits_a: int,
    bits_b: int,
    ksteps: int,
    tiles: int,
    blocks: int,
    signed: tuple[int, int] = (0, 0),
    taps: int = ALL_TAPS,
    release_a: int = 1,
) -> dict[str, Any]:
    return {
        "a": {"bits": bits_a, "signed": signed[0]},
        "b": {"bits": bits_b, "signed": signed[1]},
        "ksteps": ksteps,
        "tiles": tiles,
        "blocks": blocks,
        "first": taps & 1,
        "last": taps >> 1 & 1,
        "release_a": release_a,
        "taps": taps,
        "a_tile_words": bits_a * ksteps,
        "b_plane_words": ksteps,
    }


def golden(items: list[dict[str, Any]]) -> list[dict[str, int]]:
    """Every pair of the commands, with which blocks it begins and what it ends."""
    found = []
    released = 1
    for item in items:
        bits_a, bits_b, ksteps = item["a"]["bits"], item["b"]["bits"], item["ksteps"]
        pairs = plane_pairs(bits_a, bits_b, bool(item["a"]["signed"]), bool(item["b"]["signed"]))
        places = [(block, tile) for block in range(item["blocks"]) for tile in range(item["tiles"])]
        for block, tile in places:
            for number, pair in enumerate(pairs):
                tile_last = number == len(pairs) - 1
                block_last = tile_last and tile == item["tiles"] - 1
                command_last = block_last and block == item["blocks"] - 1
                signed_b = item["b"]["signed"] and pair.plane_b == bits_b - 1
                want = {
                    "clear": pair.clear,
                    "double": pair.double,
                    "count": pair.count,
                    "subtract": pair.subtract,
                    "b_subtract": pair.count and signed_b,
                    "single": not pair.count or ksteps == 1,
                    "taps": 0 if pair.plane_a else item["taps"],
                    "takes_a": block == tile == number == 0 and released,
                    "takes_b": tile == number == 0,
                    "tile_last": tile_last,
                    "block_last": block_last,
                    "command_last": command_last,
                    "releases_a": command_last and item["release_a"],
                    "first": item["first"],
                    "last": item["last"],
                }
                if pair.count:  # a bubble multiplies nothing: its words are free
                    want["a_word"] = (tile * bits_a + pair.plane_a) * ksteps
                    want["b_word"] = pair.plane_b * ksteps
                    if ksteps > 1:
                        want["more"] = ksteps - 2
                found.append({name: int(value) for name, value in want.items()})
        released = item["release_a"]
    return found


def random_command(rng: random.Random, *, most: int = 16) -> dict[str, Any]:
    half = SMALL.half_words("a")
    bits_a, bits_b = rng.randint(1, most), rng.randint(1, most)
    ksteps = rng.randint(1, half // max(bits_a, bits_b))
    tiles = rng.randint(1, half // (bits_a * ksteps))
    signed = rng.randint(0, 1), rng.randint(0, 1)
    taps, release = rng.randint(1, ALL_TAPS), rng.randint(0, 1)
    return command(bits_a, bits_b, ksteps, tiles, rng.randint(1, 3), signed, taps, release)


def check(items: list[dict[str, Any]], stall: float, *, gaps: bool) -> None:
    """Take all pairs of ``items``, not ready with probability ``stall``."""
    rng = random.Random(3)
    want = golden(items)
    block = Sequencer(SMALL)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.commands, items, rng, 0)

    async def take(ctx: Any) -> None:
        number, started = 0, False
        while number < len(want):
            ready = rng.random() >= stall
            ctx.set(block.pairs.ready, int(ready))
            _, _, valid, got = await ctx.tick().sample(block.pairs.valid, block.pairs.payload)
            taken = valid and ready
            ctx.set(block.finished, int(taken and got.command_last))
            if taken:
                for name, value in want[number].items():
                    assert got[name] == value, f"{name} of pair {number} is {got[name]}; expected {value}"
                number, started = number + 1, True
            assert gaps or valid or not started, f"gap before pair {number}"
        ctx.set(block.pairs.ready, 1)
        await ctx.tick()
        ctx.set(block.finished, 0)
        await ctx.tick()
        assert not ctx.get(block.pairs.valid), "a pair too many"
        assert ctx.get(block.none)

    simulate(block, put, take, watch=[block.pairs])


EDGES = [
    command(1, 1, 1, 1, 1, (0, 0), 2),
    command(1, 1, 1, 16, 3, (1, 1)),
    command(16, 16, 1, 1, 1, (1, 1), 0b011110000),
    command(1, 16, 1, 3, 2, (0, 1), 0b100000000, release_a=0),
    command(1, 5, 2, 2, 1, (1, 0), 2),
    command(4, 1, 2, 1, 1, (0, 1), 0b011110000, release_a=0),
    command(2, 2, 2, 1, 2, (1, 1), 0b100000000),
]


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
def test_pairs_follow_the_antidiagonals(stall: float) -> None:
    rng = random.Random(4)
    check([*EDGES, *(random_command(rng, most=6 if stall > 0.5 else 16) for _ in range(8))], stall, gaps=True)


def test_every_width_and_sign_of_narrow_operands_has_its_order() -> None:
    signs = [(a, b) for a in (0, 1) for b in (0, 1)]
    check(
        [command(a, b, 1, 1, 1, sign) for a in range(1, 6) for b in range(1, 6) for sign in signs],
        0.0,
        gaps=True,
    )


def test_a_pair_leaves_every_cycle_even_between_tiles_blocks_and_commands() -> None:
    """Commands of a dozen pairs or more: the next one is there before the last pair of the one before."""
    items = [
        command(1, 1, 1, 16, 2),
        command(16, 16, 1, 1, 1, (1, 1)),
        command(1, 1, 1, 7, 3, (1, 1)),
        command(2, 3, 1, 3, 2, (0, 1)),
        command(5, 1, 1, 3, 1, (1, 0)),
        command(4, 4, 1, 4, 2, (1, 1)),
        command(1, 16, 1, 2, 1, (1, 1)),
    ]
    check(items, 0.0, gaps=False)


def test_the_first_pair_comes_after_the_cycles_of_the_contract() -> None:
    block = Sequencer(SMALL)
    cycles: list[int] = []

    async def bench(ctx: Any) -> None:
        await ctx.tick().repeat(3)
        await stream_put(ctx, block.commands, [command(3, 3, 2, 1, 1)], random.Random(1), 0)
        for cycle in range(1, 40):
            if ctx.get(block.pairs.valid):
                cycles.append(cycle)
                return
            await ctx.tick()

    simulate(block, bench)
    assert cycles == [Sequencer.latency_cycles] == [MACHINE.exec_start_cycles - 2]
