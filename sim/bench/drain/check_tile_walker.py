"""Bench of `cpt.hw.drain.tile_walker`: every complete tile gets its place and its sums, in order."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RESULT_TILE, RUN, drain_command
from cpt.sim.bench.core import Bench, Sink, Source, option, random_stall, rounds, unpack
from cpt.sim.bench.drains import DrainCommand

MEMORY_BYTES = 1 << 20


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def tiles_are_placed_as_the_reference_says(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", drain_command())
    runs, tiles = Sink(bench, "runs"), Sink(bench, "tiles")
    await bench.start()
    for _ in range(2 * rounds()):
        commands.stall, runs.stall, slow = random_stall(), random_stall(), random_stall()
        drains = [DrainCommand.random(config, MEMORY_BYTES) for _ in range(3)]
        commands.put(*(item.payload() for item in drains))
        places = [place for item in drains for place in item.places()]
        completed = 0
        while len(runs.received) < len(places):
            pulse = (
                completed < min(len(places), len(runs.received) + MACHINE.result_tiles)
                and random.random() >= slow
            )
            bench.set("complete", int(pulse))
            await bench.step()
            completed += pulse
            bench.board.equal("tiles placed too early", max(0, len(runs.received) - completed), 0)
        bench.set("complete", 0)
        await bench.step(MACHINE.run_tile_cycles)
        got_runs = [unpack(RUN, item) for item in runs.take()]
        got_tiles = [unpack(RESULT_TILE, item) for item in tiles.take()]
        bench.board.equal(
            "runs",
            [(r["addr"], r["beats"]) for r in got_runs],
            [(p.address, p.beats(config)) for p in places],
        )
        bench.board.equal(
            "tiles",
            [(t["bytes"], t["col_sums"]) for t in got_tiles],
            [(p.element_bytes, int(p.col_sums)) for p in places],
        )
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
