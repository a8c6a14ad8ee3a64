"""Bench of `cpt.hw.control.guard`: runs inside the window pass, nothing from the first that is not on."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import cocotb

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.control.reach import WINDOW
from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Sink, Source, pack, random_stall, rounds


def _received(sink: Sink) -> bool:
    """Whether ``sink`` has got something."""
    return bool(sink.received)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def runs_pass_until_one_leaves_the_window(dut: Any) -> None:
    bench = Bench(dut)
    asked, runs = Source(bench, "asked", RUN), Sink(bench, "runs")
    base = random.getrandbits(32) & ~7
    limit = min(base + random.randint(1, 1 << 12) * BEAT_BYTES, (1 << 32) - 1)
    bench.set("window", pack(WINDOW, {"base": base, "limit": limit}))
    await bench.start()
    for _ in range(8 * rounds()):
        asked.stall, runs.stall = random_stall(), random_stall()
        place = random.randrange((limit - base) // BEAT_BYTES)
        beats = random.randint(1, (limit - base) // BEAT_BYTES - place)
        run = pack(RUN, {"addr": base + place * BEAT_BYTES, "beats": beats})
        asked.put(run)
        await bench.until(partial(_received, runs), "the run")
        bench.board.equal("run", runs.take(), [run])
    bench.board.equal("faults", [bench.get("leaves"), bench.get("misaligned")], [0, 0])
    crooked = random.getrandbits(1)
    last = base + (limit - base) // BEAT_BYTES * BEAT_BYTES
    asked.put(pack(RUN, {"addr": base + 4 if crooked else last, "beats": 1}))
    await bench.settle(10)
    bench.board.equal("faults", [bench.get("leaves"), bench.get("misaligned")], [1 - crooked, crooked])
    bench.board.equal("nothing passes", runs.take(), [])
    bench.finish()
