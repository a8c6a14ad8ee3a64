"""Bench of `cpt.hw.program.list_reader`: lists come whole and in order, wherever they begin."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import cocotb

from cpt.hw.contract.step import WORD_BYTES
from cpt.hw.control.reach import WINDOW
from cpt.hw.program.list_reader import CALL
from cpt.sim.bench.core import Bench, Sink, Source, pack, random_stall, rounds
from cpt.sim.bench.memory import ReadMemory, random_bytes

WORDS = 512


def _received(sink: Sink, count: int) -> bool:
    """Whether ``sink`` has got ``count`` payloads."""
    return len(sink.received) == count


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def lists_come_whole_and_in_order(dut: Any) -> None:
    bench = Bench(dut)
    memory = ReadMemory(bench, random_bytes(WORDS * WORD_BYTES))
    calls, sink = Source(bench, "calls", CALL), Sink(bench, "instructions")
    words = memory.data.reshape(-1, WORD_BYTES)
    bench.set("window", pack(WINDOW, {"base": 0, "limit": memory.data.size}))
    await bench.start()
    for _ in range(2 * rounds()):
        sink.stall = random_stall()
        memory.stall(random_stall(), random_stall())
        want: list[int] = []
        for _ in range(random.randint(1, 4)):
            first, count = random.randrange(WORDS - 40), random.randint(0, 40)
            calls.put(pack(CALL, {"address": first * WORD_BYTES, "count": count}))
            want += [int.from_bytes(word.tobytes(), "little") for word in words[first : first + count]]
        await bench.until(lambda: not calls.outstanding, "the last call")
        await bench.until(partial(_received, sink, len(want)), "the last instruction")
        bench.board.equal("instructions", [hex(item) for item in sink.take()], [hex(item) for item in want])
        await bench.settle()
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
    bench.finish()
