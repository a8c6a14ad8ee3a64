"""Bench of `cpt.hw.load.loader` for operand B: the same checks with a word per column."""

from __future__ import annotations

from typing import Any

import cocotb

from cpt.sim.bench.load.check_loader import check


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def blocks_of_b_land_in_alternating_halves(dut: Any) -> None:
    await check(dut, "b")
