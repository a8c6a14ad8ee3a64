"""Bench of `cpt.hw.control.ring`: instructions in ring order, wrapped, never beyond the doorbell."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import cocotb

from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.control.reach import WINDOW
from cpt.sim.bench.core import Bench, Sink, pack, random_stall, rounds
from cpt.sim.bench.memory import ReadMemory, random_bytes


def _received(sink: Sink, count: int) -> bool:
    """Whether ``sink`` has got ``count`` payloads."""
    return len(sink.received) == count


@cocotb.test(timeout_time=100, timeout_unit="ms")
@cocotb.parametrize(log2=[0, 1, 2, 6])
async def instructions_come_out_in_ring_order(dut: Any, log2: int) -> None:
    bench = Bench(dut)
    memory = ReadMemory(bench, random_bytes(1 << 14))
    sink = Sink(bench, "instructions")
    base = 4096 * random.randrange(2)
    bench.set("base", base)
    bench.set("log2", log2)
    bench.set("window", pack(WINDOW, {"base": base, "limit": base + (INSTRUCTION_BYTES << log2)}))
    bench.set("tail", 0)
    await bench.start()
    ring = memory.data[base : base + (INSTRUCTION_BYTES << log2)].reshape(-1, INSTRUCTION_BYTES)
    tail = 0
    for _ in range(2 * rounds()):
        sink.stall = random_stall()
        memory.stall(random_stall(), random_stall())
        count = random.randint(1, 1 << log2)
        bench.set("tail", tail + count)
        await bench.until(partial(_received, sink, count), "the last instruction")
        want = [
            int.from_bytes(ring[(tail + index) % len(ring)].tobytes(), "little") for index in range(count)
        ]
        bench.board.equal("instructions", [hex(item) for item in sink.take()], [hex(item) for item in want])
        tail += count
        await bench.settle()
        bench.board.equal("head", bench.get("head"), tail)
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
    bench.finish()
