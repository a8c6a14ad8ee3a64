"""Bench of `cpt.hw.control.control`: errors, resets and traffic against a model written from its rules."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import Error
from cpt.hw.control.control import SETTLE_CYCLES
from cpt.sim.bench.core import Bench, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def errors_halt_and_a_reset_waits_for_quiet(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    halted = pending = busy = False
    reset = True  # the first cycle's
    stopped = 0
    for _ in range(300 * rounds()):
        errors = 1 << random.randrange(len(Error)) if random.random() < 0.05 else 0
        wish, working, quiet = random.random() < 0.05, random.random() < 0.5, random.random() < 0.5
        for name, value in (("errors", errors), ("soft_reset", wish), ("working", working), ("quiet", quiet)):
            bench.set(name, int(value))
        await bench.step()
        want = [halted or pending, halted, busy, reset]
        got = [bench.get(name) for name in ("stop", "halted", "busy", "reset")]
        bench.board.equal("stop, halted, busy, reset", got, [int(bit) for bit in want])
        settled = stopped >= SETTLE_CYCLES
        restarts, reset = reset, pending and quiet and settled and not reset
        busy = not restarts and ((working and not (halted and settled)) or not quiet or pending)
        stopped = 0 if restarts or not (halted or pending) else stopped + 1
        if errors & ~(1 << Error.BUSY_WRITE):
            halted = True
        if wish:
            pending = True
        if restarts:
            pending = halted = False
    bench.finish()
