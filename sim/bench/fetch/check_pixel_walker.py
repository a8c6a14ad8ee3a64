"""Bench of `cpt.hw.fetch.pixel_walker`: a run for every image, tile and group, as long as the precision."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.fetch.pixel_walker import PIXEL_WALK
from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Sink, Source, numpy_rng, option, pack, random_stall, rounds, unpack
from cpt.sim.bench.fetches import Shape, drawn_fetch


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def runs_follow_the_layout(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    walks, runs = Source(bench, "walks", PIXEL_WALK), Sink(bench, "runs")
    await bench.start()
    rng = numpy_rng()
    for _ in range(2 * rounds()):
        walks.stall, runs.stall = random_stall(), random_stall()
        fetches = [
            drawn_fetch(config, Shape.random(config), rng, 16 * random.getrandbits(20)) for _ in range(2)
        ]
        walks.put(*(pack(PIXEL_WALK, fetch.walk) for fetch in fetches))
        want = [item for fetch in fetches for item in fetch.beats()]
        found: list[tuple[int, int]] = []
        while len(found) < len(want):
            await bench.step()
            for item in runs.take():
                run = unpack(RUN, item)
                found.append((run["addr"], run["beats"]))
        bench.board.equal("runs", found, want)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
