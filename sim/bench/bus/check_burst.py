"""Bench of `cpt.hw.bus.burst`: bursts of at most 16 beats that end at multiples of 128 bytes."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.layouts import ADDRESS, RUN
from cpt.sim.bench.core import Bench, Sink, Source, pack, random_stall, rounds, split_runs, unpack


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def bursts_cover_every_run_in_order(dut: Any) -> None:
    bench = Bench(dut)
    source, sink = Source(bench, "runs", RUN), Sink(bench, "bursts")
    await bench.start()
    for _ in range(rounds()):
        source.stall, sink.stall, gate = random_stall(), random_stall(), random_stall()
        runs = [(8 * random.getrandbits(20), random.randint(1, 70)) for _ in range(10)]
        source.put(*(pack(RUN, {"addr": address, "beats": beats}) for address, beats in runs))
        want = split_runs(runs)
        got: list[tuple[int, int]] = []
        ended = 0
        while ended < len(want):
            bench.set("stop", int(random.random() < gate))
            finish = ended < len(got) and random.random() >= gate
            bench.set("finish", int(finish))
            ended += finish
            await bench.step()
            for item in sink.take():
                burst = unpack(ADDRESS, item)
                got.append((burst["addr"], burst["len"] + 1))
        bench.set("stop", 0)
        bench.set("finish", 0)
        bench.board.equal("bursts", got, want)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
