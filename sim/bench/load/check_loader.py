"""Bench of `cpt.hw.load.loader`: blocks land word by word in alternating buffer halves."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.layouts import load_command
from cpt.sim.bench.core import Bench, Every, Source, option, random_stall, rounds
from cpt.sim.bench.loads import Load
from cpt.sim.bench.memory import ReadMemory, random_bytes

MEMORY_BYTES = 1 << 18


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def blocks_land_in_alternating_halves(dut: Any) -> None:
    await check(dut, "a")


async def check(dut: Any, operand: str) -> None:
    """Random loads of ``operand``: every word written, where, and with what."""
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", load_command(config, operand))
    memory = ReadMemory(bench, random_bytes(MEMORY_BYTES))
    written: list[tuple[int, list[int]]] = []
    loaded = 0
    address: int | None = None

    def watch() -> None:
        nonlocal loaded, address
        if address is not None:  # the words come a cycle behind it
            words = [bench.get(f"write__data__{lane}") for lane in range(config.lanes(operand))]
            written.append((address, words))
        address = bench.get("write__addr") if bench.get("write__en") else None
        loaded += bench.get("loaded")

    Every(bench, sample=watch)
    await bench.start()
    half = 0
    for _ in range(rounds()):
        commands.stall, keep = random_stall(), random_stall()
        memory.stall(random_stall(), random_stall())
        loads = [Load.random(config, operand, MEMORY_BYTES) for _ in range(2)]
        commands.put(*(load.payload() for load in loads))
        blocks = sum(load.blocks for load in loads)
        released = loaded = 0
        while released < blocks:
            # A half may only be given back once its block is in.
            release = released < loaded and random.random() >= keep
            bench.set("release", int(release))
            await bench.step()
            released += release
        bench.set("release", 0)
        await bench.settle()
        want: list[tuple[int, list[int]]] = []
        for load in loads:
            for index, words in enumerate(_blocks(config, load, memory)):
                base = (half ^ index & 1) * config.half_words(operand)
                want += [(base + address, lanes) for address, lanes in enumerate(words)]
            half ^= load.blocks & 1
        bench.board.equal("addresses", [address for address, _ in written], [address for address, _ in want])
        bench.board.equal("words", [words for _, words in written], [words for _, words in want])
        bench.board.equal("blocks loaded", loaded, blocks)
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
        written.clear()
    bench.finish()


def _blocks(config: ArrayConfig, load: Load, memory: ReadMemory) -> list[list[list[int]]]:
    """The words per lane of every block, from memory as the layout says."""
    runs, width, lanes = list(load.runs()), config.word_bits, config.lanes(load.operand)
    group_bytes = config.group_bytes(load.operand)
    blocks = []
    for block in range(load.blocks):
        words = []
        for run in runs[block * load.tiles * load.bits :][: load.tiles * load.bits]:
            for step in range(load.ksteps):
                start = run + step * group_bytes
                group = int.from_bytes(memory.data[start : start + group_bytes].tobytes(), "little")
                words.append([group >> lane * width & (1 << width) - 1 for lane in range(lanes)])
        blocks.append(words)
    return blocks
