"""Bench of `cpt.hw.fetch.reader`: words of all runs in order, half of the runs through each port."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract.machine import MACHINE
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.reader import PORTS, WORD_BEATS
from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Sink, Source, pack, random_stall, rounds, split_runs
from cpt.sim.bench.memory import ReadMemory, random_bytes

MEMORY_WORDS = 1 << 10


def _random_run() -> tuple[int, int]:
    words = random.choice((1, 2, 4, random.randint(1, MACHINE.reader_words), MACHINE.reader_words))
    return random.randint(0, MEMORY_WORDS - words), words


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def words_come_in_order(dut: Any) -> None:
    bench = Bench(dut)
    source, sink = Source(bench, "runs", RUN), Sink(bench, "words")
    data = random_bytes(STREAM_BITS // 8 * MEMORY_WORDS)
    memories = [ReadMemory(bench, data, f"ar_{n}", f"r_{n}") for n in range(PORTS)]
    await bench.start()
    words = data.reshape(MEMORY_WORDS, -1)
    first = 1
    for _ in range(rounds()):
        source.stall, sink.stall = random_stall(), random_stall()
        for memory in memories:
            memory.stall(random_stall(), random_stall())
        runs = [_random_run() for _ in range(random.randint(1, 7))]
        beats = [(STREAM_BITS // 8 * start, WORD_BEATS * count) for start, count in runs]
        source.put(*(pack(RUN, {"addr": address, "beats": count}) for address, count in beats))
        want = [
            int.from_bytes(words[at].tobytes(), "little")
            for start, n in runs
            for at in range(start, start + n)
        ]
        found: list[int] = []
        while len(found) < len(want):
            await bench.step()
            found += sink.take()
        await bench.settle()
        bench.board.equal("words", found, want)
        for number, memory in enumerate(memories):
            bench.board.equal(
                f"bursts of port {number}", memory.bursts, split_runs(beats[number ^ first :: 2])
            )
            memory.bursts.clear()
        first ^= len(runs) % 2
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
    most = max(memory.most_open for memory in memories)
    bench.board.equal("too many bursts in flight", max(0, most - MACHINE.outstanding_bursts), 0)
    bench.finish()
