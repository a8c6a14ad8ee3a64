"""Bench of `cpt.hw.fetch.windows`: every word of every tile is the golden window, and slots come in order."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.fetch.command import window_command
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.window_memory import HALVES, WindowMemory
from cpt.sim.bench.core import Bench, Sink, Source, numpy_rng, option, pack, random_stall, rounds
from cpt.sim.bench.fetches import Shape, drawn_fetch


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def the_array_reads_windows(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", window_command(config))
    words, tiles = Source(bench, "words", STREAM_BITS), Sink(bench, "tiles")
    await bench.start()
    rng = numpy_rng()
    columns = [getattr(dut, f"read__data__{column}") for column in range(config.cols)]
    for _ in range(2 * rounds()):
        commands.stall, words.stall, tiles.stall = random_stall(), random_stall(), random_stall()
        fetches = [drawn_fetch(config, Shape.random(config), rng) for _ in range(2)]
        for fetch in fetches:
            commands.put(pack(window_command(config), fetch.command))
            words.put(*fetch.stream())
        for fetch in fetches:
            slots = config.b_depth_words // fetch.command["words"]
            for tile, (expected, inside) in enumerate(zip(fetch.words, fetch.inside, strict=True)):
                await bench.until(lambda: bool(tiles.received), f"tile {tile} of {fetch.command}")
                base = tiles.received.pop(0)
                bench.board.equal("base", base, tile % slots * fetch.command["words"])
                keep = np.flatnonzero(inside)
                for at in range(len(expected) + WindowMemory.latency_cycles + 1):
                    word = at - WindowMemory.latency_cycles - 1
                    if word >= 0:
                        found = [int(columns[column].value) for column in keep]
                        bench.board.equal(f"tile {tile} word {word}", found, list(expected[word][keep]))
                    for half in range(HALVES):
                        bench.set(f"read__addr__{half}", base + min(at, len(expected) - 1))
                    await bench.step()
                await bench.step(random.choice((0, 0, 3, 40)))
                bench.set("release", 1)
                await bench.step()
                bench.set("release", 0)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
