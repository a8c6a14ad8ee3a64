"""Bench of `cpt.hw.fetch.fetch`: every word of every slot is golden, and slots come in order."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.fetch.command import fetch_command
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.window_memory import HALVES, WindowMemory
from cpt.sim.bench.core import Bench, Sink, Source, numpy_rng, option, pack, random_stall, rounds
from cpt.sim.bench.fetches import PixelShape, Shape, drawn_job


class Rings:
    """Where slots lie: side by side in a ring of each command's own, in the upper and the lower half by
    turns, or in all of the memories."""

    def __init__(self, depth: int) -> None:
        self._depth, self._upper = depth, False
        self._first = self._room = 0

    def begin(self, half: bool) -> None:
        """The next command begins; its slots take a ``half``."""
        self._upper = not self._upper
        self._first = self._depth // 2 if half and self._upper else 0
        self._room = self._depth // 2 if half else self._depth

    def base(self, number: int, size: int) -> int:
        """Of its slot ``number``, of slots of ``size``."""
        return self._first + number % (self._room // size) * size


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def the_array_reads_windows_and_pixels(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    layout = fetch_command(config)
    commands = Source(bench, "commands", layout)
    words, tiles = Source(bench, "words", STREAM_BITS), Sink(bench, "tiles")
    await bench.start()
    rng = numpy_rng()
    columns = [getattr(dut, f"read__data__{column}") for column in range(config.cols)]
    rings = Rings(config.b_depth_words)
    for _ in range(2 * rounds()):
        commands.stall, words.stall, tiles.stall = random_stall(), random_stall(), random_stall()
        kinds = random.choices((Shape, PixelShape), weights=(2, 1), k=2)
        jobs = [drawn_job(config, kind.random(config), rng) for kind in kinds]
        for job in jobs:
            commands.put(*(pack(layout, command) for command in job.commands))
            words.put(*job.stream)
        for job in jobs:
            following = iter(job.commands)
            for slot, (expected, said) in enumerate(zip(job.words, job.said, strict=True)):
                await bench.until(lambda: bool(tiles.received), f"slot {slot} of {job.commands}")
                base, (number, size) = tiles.received.pop(0), job.places[slot]
                if number == 0:
                    (body,) = next(following)["body"].values()
                    rings.begin(bool(body["half"]))
                bench.board.equal("base", base, rings.base(number, size))
                keep = np.flatnonzero(said)
                for at in range(len(expected) + WindowMemory.latency_cycles + 1):
                    word = at - WindowMemory.latency_cycles - 1
                    if word >= 0:
                        found = [int(columns[column].value) & said[column] for column in keep]
                        want = [expected[word][column] & said[column] for column in keep]
                        bench.board.equal(f"slot {slot} word {word}", found, want)
                    for half in range(HALVES):
                        bench.set(f"read__addr__{half}", base + min(at, len(expected) - 1))
                    await bench.step()
                await bench.step(random.choice((0, 0, 3, 40)))
                bench.set("release", 1)
                await bench.step()
                bench.set("release", 0)
        await bench.settle(60)  # words are taken before rows that nobody wants have left
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
