"""Bench of `cpt.hw.fetch.errors`: halves of operand A hold the golden rows of errors."""

from __future__ import annotations

import itertools
import random
from collections import deque
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract import preset
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.pixel_rows import pixel_write
from cpt.sim.bench.core import Bench, Every, Source, numpy_rng, option, pack, random_stall, rounds, unpack
from cpt.sim.bench.fetches import ErrorBuffer, ErrorShape, drawn_errors


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def operand_a_holds_rows_of_errors(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", pixel_command(config.a_depth_words))
    words, layout = Source(bench, "words", STREAM_BITS), pixel_write(config, config.a_depth_words)
    halves, buffer = [0, config.half_words("a")], ErrorBuffer(config)
    bases, turn = itertools.cycle(halves), itertools.cycle(halves)
    base = next(bases)
    given: list[int] = []
    expected: deque[Any] = deque()
    loaded: list[int] = []

    def drive() -> None:
        bench.set("slots__base", base)
        free = len(given) < len(halves)
        bench.set("slots__granted", int(free and random.random() < 0.5 and bench.get("slots__wanted")))

    def sample() -> None:
        nonlocal base
        if bench.get("slots__wanted") and bench.get("slots__granted"):
            given.append(base)
            base = next(bases)
        write = unpack(layout, bench.get("write"))
        if write["piece"]:
            mask = (1 << config.group_channels) - 1
            data = [write["data"] >> config.group_channels * row & mask for row in range(config.rows)]
            buffer.write(write["addr"], write["piece"], write["parts"], data)
        if bench.get("loaded"):
            want, half = expected.popleft(), next(turn)
            found = buffer.block(half, len(want))
            bench.board.equal(f"half {half}", np.asarray(found).tolist(), want.tolist())
            given.remove(half)
            loaded.append(1)

    Every(bench, drive=drive, sample=sample)
    await bench.start()
    rng = numpy_rng()
    for _ in range(2 * rounds()):
        commands.stall, words.stall = random_stall(), random_stall()
        fetch = drawn_errors(config, ErrorShape.random(config), rng)
        expected += fetch.words
        commands.put(*(pack(pixel_command(config.a_depth_words), command) for command in fetch.commands))
        for stream in fetch.streams:
            words.put(*stream)
        for _ in fetch.words:
            await bench.until(lambda: bool(loaded), f"chunks of {fetch.commands}")
            loaded.pop()
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
