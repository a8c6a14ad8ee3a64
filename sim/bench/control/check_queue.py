"""Bench of `cpt.hw.control.queue`: first in, first out, under back-pressure on both sides."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.sim.bench.core import Bench, Sink, Source, random_stall, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def payloads_leave_in_the_order_they_came(dut: Any) -> None:
    bench = Bench(dut)
    width = len(dut.i__payload)
    source, sink = Source(bench, "i", width), Sink(bench, "o")
    await bench.start()
    for _ in range(rounds()):
        source.stall, sink.stall = random_stall(), random_stall()
        sent = [random.getrandbits(width) for _ in range(50)]
        source.put(*sent)
        await bench.until(lambda: len(sink.received) == 50, "the last payload")
        bench.board.equal("payloads", sink.take(), sent)
        await bench.settle()
        bench.board.equal("empty", bench.get("empty"), 1)
    bench.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_full_queue_is_not_ready(dut: Any) -> None:
    bench = Bench(dut)
    width = len(dut.i__payload)
    source, sink = Source(bench, "i", width), Sink(bench, "o")
    await bench.start()
    sink.enabled = False
    sent = [random.getrandbits(width) for _ in range(100)]
    source.put(*sent)
    await bench.step(150)
    bench.board.equal("ready", bench.get("i__ready"), 0)
    sink.enabled = True
    await bench.until(lambda: len(sink.received) == 100, "the last payload")
    bench.board.equal("payloads", sink.take(), sent)
    bench.finish()
