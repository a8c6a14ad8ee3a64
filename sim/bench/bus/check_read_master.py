"""Bench of `cpt.hw.bus.read_master`: the beats of every run arrive in order, whatever the memory does."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN
from cpt.sim.bench.core import Bench, Every, Source, pack, random_stall, rounds, split_runs
from cpt.sim.bench.memory import ReadMemory, random_bytes

MEMORY_BYTES = 1 << 14


def _random_run() -> tuple[int, int]:
    beats = random.randint(1, 60)
    return 8 * random.randint(0, MEMORY_BYTES // 8 - beats), beats


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def every_beat_arrives_in_order(dut: Any) -> None:
    bench = Bench(dut)
    source = Source(bench, "runs", RUN)
    memory = ReadMemory(bench, random_bytes(MEMORY_BYTES))
    beats: list[int] = []
    Every(bench, sample=lambda: beats.append(bench.get("beat")) if bench.get("beat_valid") else None)
    await bench.start()
    words = memory.data.view("<u8")
    for _ in range(rounds()):
        source.stall = random_stall()
        memory.stall(random_stall(), random_stall())
        runs = [_random_run() for _ in range(6)]
        source.put(*(pack(RUN, {"addr": address, "beats": count}) for address, count in runs))
        await bench.settle()
        want = [int(word) for address, count in runs for word in words[address // 8 :][:count]]
        bench.board.equal("beats", beats, want)
        bench.board.equal("bursts", memory.bursts, split_runs(runs))
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
        beats.clear()
        memory.bursts.clear()
    bench.board.equal("too many bursts in flight", max(0, memory.most_open - MACHINE.outstanding_bursts), 0)
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def an_error_response_is_reported_with_its_beat(dut: Any) -> None:
    bench = Bench(dut)
    source = Source(bench, "runs", RUN)
    memory = ReadMemory(bench, random_bytes(MEMORY_BYTES))
    errors: list[int] = []
    Every(bench, sample=lambda: errors.append(bench.get("error")) if bench.get("beat_valid") else None)
    await bench.start()
    memory.faulty.add(8 * 5)
    source.put(pack(RUN, {"addr": 0, "beats": 10}))
    await bench.settle()
    bench.board.equal("error", errors, [int(index == 5) for index in range(10)])
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def stop_lets_open_bursts_finish_and_starts_no_more(dut: Any) -> None:
    bench = Bench(dut)
    source = Source(bench, "runs", RUN)
    memory = ReadMemory(bench, random_bytes(MEMORY_BYTES))
    await bench.start()
    source.put(pack(RUN, {"addr": 0, "beats": 1000}))
    await bench.step(40)
    bench.set("stop", 1)
    await bench.until(lambda: bool(bench.get("quiet")), "the end of open bursts", 500)
    count = len(memory.bursts)
    await bench.step(200)
    bench.board.equal("bursts after stop", len(memory.bursts), count)
    bench.set("stop", 0)
    await bench.until(lambda: bool(bench.get("idle")), "the end of the run", 3000)
    bench.board.equal("bursts", memory.bursts, split_runs([(0, 1000)]))
    bench.finish()
