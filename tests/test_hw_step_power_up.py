"""Blocks of the machine of whole steps are idle from power-up on: a register written then is not refused."""

import pytest
from amaranth import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP
from cpt.hw.export.blocks import top_blocks

CYCLES = 12
STATES = ("idle", "quiet", "drain_idle", "apply_idle")
BLOCKS = ("load", "fetch", "exec", "lanes", "packers", "bring", "store", "float", "memory")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_idle_from_the_first_cycle_on(name):
    block = dict(top_blocks(preset("tiny", STEP)))[name]()
    told = [
        state
        for state in STATES
        if state in block.signature.members and block.signature.members[state].flow is Out
    ]
    assert told
    m = Module()
    m.submodules.block = block
    m.domains.engines = ClockDomain()
    m.d.comb += [ClockSignal("engines").eq(ClockSignal()), ResetSignal("engines").eq(ResetSignal())]
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    seen = []

    async def bench(ctx):
        for _ in range(CYCLES):
            seen.append([ctx.get(getattr(block, state)) for state in told])
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [[1] * len(told)] * CYCLES
