"""The float engine on the memories that are built: what it writes is read by its next instruction."""

import random

import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from float_words import C, L, word
from hw_streams import simulate

from cpt.hw.channel.engine import FloatEngine
from cpt.hw.channel.local import LocalMemory
from cpt.hw.channel.ports import PAIR, local_read
from cpt.hw.contract import preset
from cpt.hw.contract.floats import FIELD, Coefficient, Op, Space
from cpt.hw.contract.step import decode
from cpt.hw.vector.coefficients import Coefficients
from cpt.hw.vector.statistics import Statistics
from cpt.sim.step.floats import Floats
from cpt.sim.step.state import State

NUMBER = (Space.CONSTANT, 0)
SCRATCH_WORDS = 64
AT = Coefficient.ADDEND * FIELD
"""Coefficients as wide as statistics."""
WORDS = 96
ROW = 2 * preset("tiny").float_lanes


class Around(wiring.Component):
    """A float engine with local memory, statistics and coefficients; ``other`` reads local memory as well."""

    def __init__(self):
        self.engine = FloatEngine(preset("tiny"), SCRATCH_WORDS)
        super().__init__({"other": In(local_read())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.engine = engine = self.engine
        m.submodules.local = local = LocalMemory(reads=((ROW, PAIR),), writes=(ROW,))
        m.submodules.statistics = statistics = Statistics(preset("tiny"))
        m.submodules.coefficients = coefficients = Coefficients(preset("tiny"))
        wiring.connect(m, engine.local_read, local.read_0)
        wiring.connect(m, wiring.flipped(self.other), local.read_1)
        wiring.connect(m, engine.local_write, local.write_0)
        wiring.connect(m, engine.statistics, statistics.float)
        wiring.connect(m, engine.coefficients, coefficients.float)
        return m


def program():
    """Numbers to all memories and back, each instruction on what the one before it left."""
    yield word(Op.COPY, (L, 0, 1), NUMBER, n=64)
    for place in range(1, 16):
        yield word(Op.INT_ADD, (L, place, 1), (L, place - 1, 0), NUMBER, n=2, constant=200 * place - 7)
    yield word(Op.JOIN, (C, AT + 5, 1), (L, 0, 1), (L, 1, 1), n=8)
    yield word(Op.INT_SUBTRACT, (C, AT + 6, 1), (C, AT + 5, 1), (L, 2, 1), n=5)
    yield word(Op.COPY, (L, 20, 1), (C, AT + 5, 1), n=8, constant=32)
    for alone in (11, 12):  # a number that is written first, and at once read
        yield word(Op.INT_ADD, (C, AT + alone, 1), (L, 3, 1), NUMBER, n=1, constant=alone)
        yield word(Op.COPY, (L, 60 + alone, 1), (C, AT + alone, 1), n=1, constant=32)
    yield word(Op.COPY, (C, AT + 3, 1), (C, AT + 5, 1), n=8)
    yield word(Op.FROM_INTEGER, (L, 31, 1), (C, AT + 3, 1), NUMBER, n=8, constant=1)
    yield word(Op.RECIPROCAL, (L, 40, 1), (L, 31, 1), n=8)
    yield word(Op.MULTIPLY, (L, 50, 1), (L, 40, 1), (L, 31, 1), n=8)
    yield word(Op.MAXIMUM, (L, 60, 0), (L, 60, 0), (L, 50, 1), n=8)


def test_instructions_read_what_the_one_before_them_wrote():
    rng = random.Random(1)
    words, block, found = list(program()), Around(), []
    state = State(preset("tiny"), 64, SCRATCH_WORDS)
    model = Floats(state)
    for item in words:
        model.run(decode(item))

    async def busy_until(ctx, wanted):
        """The other port reads now and then until ``wanted``."""
        seen = 0
        while not seen:
            ctx.set(block.other.valid, int(rng.random() < 0.4))
            _, _, seen = await ctx.tick().sample(wanted)

    async def bench(ctx):
        for item in words:
            ctx.set(block.engine.commands.payload.word, int.from_bytes(item, "little"))
            ctx.set(block.engine.commands.valid, 1)
            await busy_until(ctx, block.engine.commands.ready)
        ctx.set(block.engine.commands.valid, 0)
        await busy_until(ctx, block.engine.idle)
        for pair in range(WORDS // PAIR):
            ctx.set(block.other.valid, 1)
            ctx.set(block.other.addr, pair)
            await ctx.tick()
            ctx.set(block.other.valid, 0)
            await ctx.tick().repeat(LocalMemory.latency_cycles - 1)
            found.extend(ctx.get(block.other.data[number]) for number in range(PAIR))

    simulate(block, bench)
    assert found == state.local[:WORDS].view(np.uint32).tolist()
    assert len(set(found)) > 20
