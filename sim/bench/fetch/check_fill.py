"""Bench of `cpt.hw.fetch.fill`: all data taken, slots in ring order and never too many."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.fetch.command import fetch_command, payload, step_layout
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.sim.bench.core import (
    Bench,
    Every,
    Sink,
    Source,
    numpy_rng,
    option,
    pack,
    random_stall,
    rounds,
    unpack,
)
from cpt.sim.bench.fetches import Shape, drawn_fetch


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def slots_come_in_order(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    layout = step_layout(config)
    commands = Source(bench, "commands", fetch_command(config))
    words, tiles = Source(bench, "words", STREAM_BITS), Sink(bench, "tiles")
    done: list[int] = []

    def sample() -> None:
        step = unpack(layout, bench.get("step"))
        done.append(step["done"])

    Every(bench, drive=lambda: bench.set("filled", done[-1] if done else 0), sample=sample)
    await bench.start()
    rng = numpy_rng()
    for _ in range(2 * rounds()):
        commands.stall, words.stall, tiles.stall = random_stall(), random_stall(), random_stall()
        fetch = drawn_fetch(config, Shape.random(config), rng)
        count, size = len(fetch.words), fetch.command["words"]
        commands.put(pack(fetch_command(config), payload(fetch.command)))
        words.put(*fetch.stream())
        for tile in range(count):
            await bench.until(lambda: bool(tiles.received), f"tile {tile} of {fetch.command}")
            bench.board.equal("base", tiles.received.pop(0), tile % (config.b_depth_words // size) * size)
            await bench.step(random.choice((0, 0, 9)))
            bench.set("release", 1)
            await bench.step()
            bench.set("release", 0)
        await bench.settle(60)  # words are taken before rows that nobody wants have left
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
