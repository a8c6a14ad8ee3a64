"""Bench of `cpt.hw.fetch.pixels`: every word of every slot is the golden row of pixels."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.window_memory import HALVES, WindowMemory
from cpt.sim.bench.core import Bench, Sink, Source, numpy_rng, option, pack, random_stall, rounds
from cpt.sim.bench.fetches import PixelShape, drawn_pixels


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def the_array_reads_pixels_along_k(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", pixel_command(config.b_depth_words))
    words, tiles = Source(bench, "words", STREAM_BITS), Sink(bench, "tiles")
    await bench.start()
    rng = numpy_rng()
    columns = [getattr(dut, f"read__data__{column}") for column in range(config.cols)]
    for _ in range(2 * rounds()):
        commands.stall, words.stall, tiles.stall = random_stall(), random_stall(), random_stall()
        fetch = drawn_pixels(config, PixelShape.random(config), rng)
        commands.put(*(pack(pixel_command(config.b_depth_words), command) for command in fetch.commands))
        words.put(*fetch.stream)
        for slot, expected in enumerate(fetch.words):
            await bench.until(lambda: bool(tiles.received), f"slot {slot} of {fetch.commands}")
            base = tiles.received.pop(0)
            for at in range(len(expected) + WindowMemory.latency_cycles + 1):
                word = at - WindowMemory.latency_cycles - 1
                if word >= 0:
                    found = [int(column.value) & fetch.mask for column in columns]
                    want = [item & fetch.mask for item in expected[word]]
                    bench.board.equal(f"slot {slot} word {word}", found, want)
                for half in range(HALVES):
                    bench.set(f"read__addr__{half}", base + min(at, len(expected) - 1))
                await bench.step()
            await bench.step(random.choice((0, 0, 40)))
            bench.set("release", 1)
            await bench.step()
            bench.set("release", 0)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
