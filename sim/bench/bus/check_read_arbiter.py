"""Bench of `cpt.hw.bus.read_arbiter`: two masters share a port and each gets its own data, in order."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import cocotb

from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import ADDRESS, READ_BEAT
from cpt.sim.bench.core import Bench, Sink, Source, pack, random_stall, rounds, unpack
from cpt.sim.bench.memory import ReadMemory, random_bytes

MEMORY_BYTES = 1 << 14
BURSTS = 20
"""Of each master in a round."""


def _step(asked: list[list[int]], addresses: list[Source], sinks: list[Sink], want: list[list[int]]) -> bool:
    """Ask on, never for more bursts than a master may have in flight; whether all beats are there."""
    for n, (source, sink) in enumerate(zip(addresses, sinks, strict=True)):
        ended = sum(unpack(READ_BEAT, item)["last"] for item in sink.received)
        while asked[n] and BURSTS - len(asked[n]) - ended < MACHINE.outstanding_bursts:
            source.put(asked[n].pop(0))
    return all(len(sink.received) == len(beats) for sink, beats in zip(sinks, want, strict=True))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def data_returns_to_the_master_that_asked(dut: Any) -> None:
    bench = Bench(dut)
    memory = ReadMemory(bench, random_bytes(MEMORY_BYTES))
    addresses = [Source(bench, f"ar{n}", ADDRESS) for n in range(2)]
    data = [Sink(bench, f"r{n}") for n in range(2)]
    await bench.start()
    words = memory.data.view("<u8")
    for _ in range(rounds()):
        memory.stall(random_stall(), random_stall())
        want: list[list[int]] = [[], []]
        lasts: list[list[int]] = [[], []]
        asked: list[list[int]] = [[], []]
        for n in range(2):
            addresses[n].stall = random_stall()
            for _ in range(BURSTS):
                beats = random.randint(1, 16)
                start = 128 * random.randrange(MEMORY_BYTES // 128)
                asked[n].append(pack(ADDRESS, {"addr": start, "len": beats - 1}))
                want[n] += [int(word) for word in words[start // 8 :][:beats]]
                lasts[n] += [int(index == beats - 1) for index in range(beats)]
        await bench.until(partial(_step, asked, addresses, data, want), "all data")
        for n in range(2):
            beats_of = [unpack(READ_BEAT, item) for item in data[n].take()]
            bench.board.equal(f"data of master {n}", [beat["data"] for beat in beats_of], want[n])
            bench.board.equal(f"last of master {n}", [beat["last"] for beat in beats_of], lasts[n])
        await bench.settle()
    bench.finish()
