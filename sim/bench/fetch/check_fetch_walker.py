"""Bench of `cpt.hw.fetch.walker`: a run for every image, tile and group, as long as the precision."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.fetch.command import window_command
from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Sink, Source, numpy_rng, option, pack, random_stall, rounds, unpack
from cpt.sim.bench.fetches import Shape, drawn_fetch


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def runs_follow_the_layout(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands, runs = Source(bench, "commands", window_command(config)), Sink(bench, "runs")
    await bench.start()
    rng = numpy_rng()
    for _ in range(2 * rounds()):
        commands.stall, runs.stall = random_stall(), random_stall()
        fetches = [
            drawn_fetch(config, Shape.random(config), rng, 16 * random.getrandbits(20)) for _ in range(2)
        ]
        commands.put(*(pack(window_command(config), fetch.command) for fetch in fetches))
        want = [item for fetch in fetches for item in fetch.beats()]
        found: list[tuple[int, int]] = []
        while len(found) < len(want):
            bench.set("stop", int(random.random() < 0.1))
            await bench.step()
            for item in runs.take():
                run = unpack(RUN, item)
                found.append((run["addr"], run["beats"]))
        bench.set("stop", 0)
        bench.board.equal("runs", found, want)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
