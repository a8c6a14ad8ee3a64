"""Bench of `cpt.hw.load.operand_buffer`: reads return what was written, for every lane."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.load.operand_buffer import OperandBuffer
from cpt.sim.bench.core import Bench, option, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def reads_return_the_last_write(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    config = preset(option("preset", "tiny"))
    lanes = sum(1 for lane in range(256) if hasattr(dut, f"read__data__{lane}"))
    depth = 1 << len(dut.read__addr)
    memory = [[0] * lanes for _ in range(depth)]
    pending: list[list[int]] = []
    late: list[int] = []  # what is written comes a cycle behind its address
    for cycle in range(depth + 100 * rounds()):
        # First fill everything, then write and read at random, never both at one address.
        address = cycle if cycle < depth else random.randrange(depth)
        write = cycle < depth or random.random() < 0.5
        words = [random.getrandbits(config.word_bits) for _ in range(lanes)]
        bench.set("write__en", int(write))
        bench.set("write__addr", address)
        for lane, value in enumerate(late):
            bench.set(f"write__data__{lane}", value)
        late = words
        read = random.choice([n for n in (address - 1, address + 1) if 0 <= n < depth])
        bench.set("read__addr", read)
        pending.append(list(memory[read]) if cycle > depth else [])
        await bench.step()
        if write:
            memory[address] = words
        if len(pending) > OperandBuffer.latency_cycles:
            want = pending[-1 - OperandBuffer.latency_cycles]
            if want:
                got = [bench.get(f"read__data__{lane}") for lane in range(lanes)]
                bench.board.equal("read data", got, want)
    bench.finish()
