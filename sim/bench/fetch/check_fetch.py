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


class Ring:
    """Where slots lie: one behind the other; a command begins at 0, or where one of dW follows its like."""

    def __init__(self, depth: int) -> None:
        self._depth, self._pixels, self._size, self._base = depth, False, 0, 0

    def next(self, pixels: bool, number: int, size: int, found: int) -> int:
        """Base of slot ``number`` of a command with slots of ``size``; ``found``: what the block says.

        Of two that are right, since it is a matter of cycles whether a command goes on, the one found.
        """
        follows = (self._base // self._size + 1) % (self._depth // size) * size if self._size == size else 0
        goes_on = number > 0 or (pixels and self._pixels and found != 0)
        self._pixels, self._size, self._base = pixels, size, follows if goes_on else 0
        return self._base


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def the_array_reads_windows_and_pixels(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    layout = fetch_command(config)
    commands = Source(bench, "commands", layout)
    words, tiles = Source(bench, "words", STREAM_BITS), Sink(bench, "tiles")
    await bench.start()
    rng = numpy_rng()
    columns = [getattr(dut, f"read__data__{column}") for column in range(config.cols)]
    ring = Ring(config.b_depth_words)
    for _ in range(2 * rounds()):
        commands.stall, words.stall, tiles.stall = random_stall(), random_stall(), random_stall()
        kinds = random.choices((Shape, PixelShape), weights=(2, 1), k=2)
        jobs = [drawn_job(config, kind.random(config), rng) for kind in kinds]
        for job in jobs:
            commands.put(*(pack(layout, command) for command in job.commands))
            words.put(*job.stream)
        for kind, job in zip(kinds, jobs, strict=True):
            for slot, (expected, said) in enumerate(zip(job.words, job.said, strict=True)):
                await bench.until(lambda: bool(tiles.received), f"slot {slot} of {job.commands}")
                base, (number, size) = tiles.received.pop(0), job.places[slot]
                bench.board.equal("base", base, ring.next(kind is PixelShape, number, size, base))
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
