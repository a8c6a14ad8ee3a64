"""Bench of `cpt.hw.control.control`: errors, resets and traffic against a model written from its rules."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import Error
from cpt.sim.bench.core import Bench, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def errors_halt_and_a_reset_waits_for_quiet(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    halted = pending = False
    for _ in range(300 * rounds()):
        errors = 1 << random.randrange(len(Error)) if random.random() < 0.05 else 0
        wish, working, quiet = random.random() < 0.05, random.random() < 0.5, random.random() < 0.5
        for name, value in (("errors", errors), ("soft_reset", wish), ("working", working), ("quiet", quiet)):
            bench.set(name, int(value))
        await bench.step()
        reset = pending and quiet
        want = [halted or pending, halted, (working and not halted) or not quiet or pending, reset]
        got = [bench.get(name) for name in ("stop", "halted", "busy", "reset")]
        bench.board.equal("stop, halted, busy, reset", got, [int(bit) for bit in want])
        if errors & ~(1 << Error.BUSY_WRITE):
            halted = True
        if wish:
            pending = True
        if reset:
            pending = halted = False
    bench.finish()
