"""cpt.hw.load.loader: blocks of an operand land where EXEC reads them, never more than two ahead."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import SMALL, simulate, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.load.loader import Loader

GROUP_BYTES = {operand: SMALL.group_bytes(operand) for operand in "ab"}


def noise(address: int) -> int:
    """Contents of memory: a word that tells its address."""
    return random.Random(address).getrandbits(64)


def random_command(rng: random.Random, operand: str) -> dict[str, int]:
    bits = rng.randint(1, 16)
    ksteps = rng.randint(1, SMALL.half_words(operand) // bits)
    tiles = rng.randint(1, SMALL.half_words(operand) // (bits * ksteps))
    plane = 8 * rng.randint(ksteps * GROUP_BYTES[operand] // 8, 40)
    return {
        "bits": bits,
        "tiles": tiles,
        "ksteps": ksteps,
        "blocks": rng.randint(1, 3),
        "base": 8 * rng.randrange(1 << 12),
        "plane_stride": plane,
        "tile_stride": bits * plane + 8 * rng.randrange(5),
        "block_stride": 8 * rng.randrange(1 << 10),
        "block_words": tiles * bits * ksteps,
    }


def golden_blocks(command: dict[str, int], operand: str) -> list[list[int]]:
    """Words of every lane, side by side, in buffer order, for each block of a command."""
    group = GROUP_BYTES[operand]
    blocks = []
    for block in range(command["blocks"]):
        words = []
        for tile in range(command["tiles"]):
            for plane in range(command["bits"]):
                start = command["base"] + block * command["block_stride"] + tile * command["tile_stride"]
                start += plane * command["plane_stride"]
                for k in range(command["ksteps"]):
                    beats = [noise(start + k * group + 8 * n) for n in range(group // 8)]
                    side_by_side = sum(beat << 64 * n for n, beat in enumerate(beats))
                    words.append(side_by_side & (1 << SMALL.lanes(operand) * SMALL.word_bits) - 1)
        blocks.append(words)
    return blocks


@pytest.mark.parametrize("operand", ["a", "b"])
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_blocks_fill_alternating_halves_in_order(operand: str, stall: float) -> None:
    rng = random.Random(ord(operand))
    commands = [random_command(rng, operand) for _ in range(4)]
    blocks = [block for command in commands for block in golden_blocks(command, operand)]
    block = Loader(SMALL, operand)
    half = SMALL.half_words(operand)
    held: list[dict[int, int]] = []
    current: dict[int, int] = {}
    done: list[bool] = []
    memory = ReadMemory(block.ar, block.r, noise, rng, stall)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.commands, commands, rng, stall)

    async def watch(ctx: Any) -> None:
        words = range(len(block.write.data))
        enable, address = 0, 0
        while len(held) < len(blocks):
            _, _, next_enable, next_address, loaded, *lanes = await ctx.tick().sample(
                block.write.en, block.write.addr, block.loaded, *(block.write.data[n] for n in words)
            )
            # The words come a cycle behind their address.
            if enable:
                assert address not in current
                current[address] = sum(word << SMALL.word_bits * n for n, word in enumerate(lanes))
            assert not loaded or enable
            if loaded:
                held.append(dict(current))
                current.clear()
            enable, address = next_enable, next_address

    async def release(ctx: Any) -> None:
        for number in range(len(blocks)):
            while len(held) <= number:
                await ctx.tick()
            await ctx.tick().repeat(rng.randint(1, 30))
            assert len(held) <= number + MACHINE.halves, "a block overwrote one that was still in use"
            ctx.set(block.release, 1)
            await ctx.tick()
            ctx.set(block.release, 0)
        await ctx.tick().repeat(3)
        assert ctx.get(block.idle)
        assert ctx.get(block.quiet)
        done.append(True)

    simulate(block, put, watch, release, *memory.benches(lambda: bool(done)), watch=[block.ar])
    for number, (found, words) in enumerate(zip(held, blocks, strict=True)):
        start = number % MACHINE.halves * half
        assert found == {start + index: word for index, word in enumerate(words)}, f"block {number}"
    assert memory.most_open <= MACHINE.outstanding_bursts


def test_a_beat_is_taken_every_cycle_across_planes_tiles_and_blocks() -> None:
    command = {
        "bits": 4, "tiles": 2, "ksteps": 2, "blocks": 2, "base": 0, "plane_stride": 128, "tile_stride": 512,
        "block_stride": 1024, "block_words": 16,
    }  # fmt: skip
    block = Loader(SMALL, "b")
    memory = ReadMemory(block.ar, block.r, noise, random.Random(1), 0.0)
    beats = 2 * 16 * GROUP_BYTES["b"] // 8
    cycles: list[int] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [command], random.Random(1), 0)

    async def watch(ctx: Any) -> None:
        cycle = 0
        while len(cycles) < beats:
            _, _, valid, ready = await ctx.tick().sample(block.r.valid, block.r.ready)
            cycle += 1
            if valid and ready:
                cycles.append(cycle)

    simulate(block, put, watch, *memory.benches(lambda: len(cycles) == beats))
    # The memory of this test pauses once per burst; nothing else does.
    assert cycles[-1] - cycles[0] <= beats + len(memory.bursts)


def test_stop_issues_nothing_new_and_lets_the_rest_arrive() -> None:
    rng = random.Random(5)
    command = {
        **random_command(rng, "a"),
        "bits": 16,
        "tiles": 1,
        "ksteps": 1,
        "block_words": 16,
        "blocks": 2,
    }
    block = Loader(SMALL, "a")
    memory = ReadMemory(block.ar, block.r, noise, rng, 0.0)
    done: list[bool] = []

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [command], rng, 0)
        await ctx.tick().repeat(12)
        ctx.set(block.stop, 1)
        await ctx.tick().repeat(3)
        issued = len(memory.bursts)
        assert issued > 0
        await ctx.tick().repeat(60)
        assert len(memory.bursts) == issued
        assert memory.beats == sum(beats for _, beats in memory.bursts)
        assert ctx.get(block.quiet)
        assert not ctx.get(block.idle)
        done.append(True)

    simulate(block, bench, *memory.benches(lambda: bool(done)))


def test_an_error_response_is_reported() -> None:
    block = Loader(SMALL, "a")
    memory = ReadMemory(block.ar, block.r, noise, random.Random(1), 0.0)
    memory.resp = 3
    command = {**random_command(random.Random(1), "a"), "blocks": 1}

    async def bench(ctx: Any) -> None:
        await stream_put(ctx, block.commands, [command], random.Random(1), 0)
        await ctx.tick().until(block.error)
        memory.resp = 0

    simulate(block, bench, *memory.benches(lambda: memory.resp == 0))
