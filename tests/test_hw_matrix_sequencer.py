"""cpt.hw.matrix.sequencer: the order of steps against the order of the contract."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import SMALL, simulate, stream_put

from cpt.hw.contract.config import ALL_TAPS
from cpt.hw.contract.order import tile_steps
from cpt.hw.matrix.sequencer import Sequencer


def command(
    bits_a: int, bits_b: int, ksteps: int, tiles: int, blocks: int, signed: tuple[int, int], taps: int
) -> dict[str, Any]:
    return {
        "a": {"bits": bits_a, "signed": signed[0]},
        "b": {"bits": bits_b, "signed": signed[1]},
        "ksteps": ksteps,
        "tiles": tiles,
        "blocks": blocks,
        "first": 1,
        "last": 1,
        "release_a": 1,
        "taps": taps,
        "a_top_words": (bits_a - 1) * ksteps,
        "b_top_words": (bits_b - 1) * ksteps,
        "a_tile_words": bits_a * ksteps,
    }


def golden(item: dict[str, Any]) -> list[dict[str, int]]:
    """Every step of a command, with which tile, block and command it ends."""
    bits_a, bits_b, ksteps = item["a"]["bits"], item["b"]["bits"], item["ksteps"]
    signed_a, signed_b = bool(item["a"]["signed"]), bool(item["b"]["signed"])
    found = []
    for block in range(item["blocks"]):
        for tile in range(item["tiles"]):
            steps = list(tile_steps(bits_a, bits_b, signed_a, signed_b, ksteps))
            for number, step in enumerate(steps):
                tile_last = number == len(steps) - 1
                block_last = tile_last and tile == item["tiles"] - 1
                # A bubble multiplies nothing: its addresses are free.
                words = {
                    "a_addr": (tile * bits_a + step.plane_a) * ksteps + step.k,
                    "b_addr": step.plane_b * ksteps + step.k,
                }
                found.append({
                    **(words if step.count else {}),
                    "clear": int(step.clear),
                    "double": int(step.double),
                    "count": int(step.count),
                    "subtract": int(step.subtract),
                    "b_subtract": int(step.b_subtract),
                    "taps": 0 if step.plane_a else item["taps"],
                    "tile_last": int(tile_last),
                    "block_last": int(block_last),
                    "command_last": int(block_last and block == item["blocks"] - 1),
                })  # fmt: skip
    return found


def random_command(rng: random.Random) -> dict[str, Any]:
    half = SMALL.half_words("a")
    bits_a, bits_b = rng.randint(1, 16), rng.randint(1, 16)
    ksteps = rng.randint(1, half // max(bits_a, bits_b))
    tiles = rng.randint(1, half // (bits_a * ksteps))
    signed = rng.randint(0, 1), rng.randint(0, 1)
    return command(bits_a, bits_b, ksteps, tiles, rng.randint(1, 2), signed, rng.randint(1, ALL_TAPS))


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_steps_follow_the_antidiagonals_without_a_gap(stall: float) -> None:
    rng = random.Random(3)
    items = [
        command(1, 1, 1, 1, 1, (0, 0), 2),
        command(16, 16, 1, 1, 1, (1, 1), 0b011110000),
        command(1, 16, 1, 3, 2, (0, 1), 0b100000000),
        command(1, 5, 2, 2, 1, (1, 0), 2),
        command(4, 1, 2, 1, 1, (0, 1), 0b011110000),
        command(2, 2, 2, 1, 2, (1, 1), 0b100000000),
    ]
    items += [random_command(rng) for _ in range(8)]
    want = [step for item in items for step in golden(item)]
    block = Sequencer(SMALL)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.commands, items, rng, 0)

    async def take(ctx: Any) -> None:
        await ctx.tick().until(block.active)
        for number, step in enumerate(want):
            while rng.random() < stall:
                ctx.set(block.issue, 0)
                await ctx.tick()
            assert ctx.get(block.active), f"gap before step {number}"
            got = ctx.get(block.step)
            for name, value in step.items():
                seen = ctx.get(getattr(block, name)) if name.endswith("_last") else got[name]
                assert seen == value, f"{name} of step {number} is {seen}; expected {value}"
            assert got.capture == step["tile_last"]
            ctx.set(block.issue, 1)
            await ctx.tick()
        ctx.set(block.issue, 0)
        assert not ctx.get(block.active)

    simulate(block, put, take)
