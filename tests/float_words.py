"""FLOAT instructions by hand, and whether the engine leaves what the model does, in as many cycles."""

import copy
from dataclasses import replace

import numpy as np
from channel_numbers import drawn_floats
from float_engine_bench import FloatBench

from cpt.hw.contract import preset
from cpt.hw.contract.floats import FIELD, Op, Space
from cpt.hw.contract.step import Code, decode, encode
from cpt.sim.step.float_cycles import Queue
from cpt.sim.step.floats import Floats
from cpt.sim.step.state import State

FLOATS_AT, INTEGERS_AT, SHIFTS_AT, FREE = 0, 2048, 4096, 8192
"""Where local memory has floats, integers, small integers, and nothing."""
LANES = preset("tiny").float_lanes


def drawn_state(seed, lanes=LANES, words=1024):
    rng = np.random.default_rng(seed)
    state = State(replace(preset("tiny"), float_lanes=lanes), 64, words)
    floats = drawn_floats(rng, INTEGERS_AT - FLOATS_AT, 20)
    state.local[FLOATS_AT:INTEGERS_AT] = floats.view(np.int32)
    state.local[INTEGERS_AT:SHIFTS_AT] = rng.integers(-(1 << 15), 1 << 15, SHIFTS_AT - INTEGERS_AT)
    state.local[SHIFTS_AT:FREE] = rng.integers(9, 20, FREE - SHIFTS_AT)
    state.statistics[:] = rng.integers(-(1 << 33), 1 << 33, len(state.statistics))
    state.coefficients[:] = rng.integers(-(1 << 17), 1 << 17, len(state.coefficients))
    state.scratch[:] = rng.integers(-(1 << 15), 1 << 15, state.scratch.shape)
    state.scratch[512:768] >>= 12
    for slot in state.slots:
        slot.bits = int(rng.integers(2, 9))
    return state


def word(op, to, a, b=(Space.CONSTANT, 0), c=(Space.CONSTANT, 0), *, n=1, reps=1, constant=0, **more):
    """An operand is (space, address, moves, stride)."""
    values = {"op": op, "n": n, "reps": reps, "constant": constant, **more}
    for name, operand in (("to", to), ("a", a), ("b", b), ("c", c)):
        space, address, moves, stride = (*operand, 0, 0)[:4]
        values |= {
            f"{name}_space": space,
            name: address,
            f"{name}_moves": moves,
            f"{name}_stride": stride,
        }
    return encode(Code.FLOAT, **values)


def same_as_the_model(words, seed=0, stall=0.0, state=None):
    state = state or drawn_state(seed)
    expected = copy.deepcopy(state)
    model = Floats(expected)
    for item in words:
        model.run(decode(item))
    bench = FloatBench(state, seed, stall)
    marks = bench.run_together(words)
    queue, expected_marks = Queue(state.config.float_lanes), []
    for item in words:
        _, mark = queue.run(decode(item), queue.ready)
        expected_marks.append(mark)
    assert stall or marks == expected_marks
    bench.cycles = np.diff([0, *marks]).tolist()
    for memory in ("local", "statistics", "coefficients"):
        found, wanted = getattr(state, memory), getattr(expected, memory)
        wrong = np.flatnonzero(found != wanted)
        assert not wrong.size, (memory, wrong[:8], found[wrong[:8]], wanted[wrong[:8]])
    return bench


L, S, C = Space.LOCAL, Space.STATISTICS, Space.COEFFICIENTS
SAMPLES = {
    Op.ADD: [((L, 3, 1), (L, 100, 1), (L, 200, 0)), ((L, 3, 1), (L, 101, 1), (L, 50, 1))],
    Op.SUBTRACT: [((L, 2, 1), (L, 100, 1), (L, 60, 1))],
    Op.MULTIPLY: [((L, 2, 1), (L, 100, 1), (Space.SLOT, 8 * 5 + 3))],
    Op.MULTIPLY_ADD: [((L, 2, 1), (L, 100, 1), (L, 60, 1), (L, 500, 1))],
    Op.MAXIMUM: [((L, 2, 1), (L, 100, 1), (L, 61, 1))],
    Op.MINIMUM: [((L, 2, 1), (L, 100, 1), (Space.SLOT, 8 * 7 + 2))],
    Op.LARGEST: [((L, 2, 1), (L, 100, 1), (L, 61, 1))],
    Op.RECIPROCAL: [((L, 2, 1), (L, 100, 1))],
    Op.SCALE: [((L, 2, 1), (L, 100, 1), (L, SHIFTS_AT, 1))],
    Op.EXPONENT: [((L, 2, 1), (L, 100, 1))],
    Op.POWER: [((L, 2, 1), (L, 100, 1))],
    Op.FROM_INTEGER: [
        ((L, 2, 1), (S, 100, 1), (Space.SLOT, 8 * 5 + 4)),
        ((L, 2, 1), (C, FIELD + 188, 1), (L, INTEGERS_AT, 1)),
    ],
    Op.TO_FIXED: [((C, 2 * FIELD + 76, 1), (L, 100, 1), (L, SHIFTS_AT, 1))],
    Op.CROSS: [
        ((L, 2, 1), (S, FIELD, 1), (S, 0, 1), (S, 2 * FIELD + 76, 1)),
        ((L, 2, 1), (S, FIELD, 1), (C, FIELD + 188, 1), (L, INTEGERS_AT, 1)),
    ],
    Op.INT_ADD: [((L, 2, 1), (L, INTEGERS_AT, 1), (S, 3, 1))],
    Op.INT_SUBTRACT: [((L, 2, 1), (Space.CONSTANT, 0), (S, 3, 1))],
    Op.INT_MAXIMUM: [((L, 2, 1), (S, 5, 1), (L, INTEGERS_AT, 1))],
    Op.INT_MINIMUM: [((C, 2, 1), (S, FIELD + 1, 1), (C, FIELD + 188, 1))],
    Op.SUM_MAGNITUDES: [((L, 2, 1), (L, SHIFTS_AT, 1), (L, INTEGERS_AT, 1), (L, SHIFTS_AT + 9, 0))],
    Op.DRAIN_SHIFT: [((C, 600, 1), (L, INTEGERS_AT, 1), (Space.SLOT, 8 * 9 + 4))],
    Op.COPY: [((C, 600, 1), (L, INTEGERS_AT, 1)), ((L, 9, 1), (S, 33, 1))],
    Op.JOIN: [((C, 4 * FIELD + 2, 1), (L, FLOATS_AT, 1), (L, SHIFTS_AT, 1))],
    Op.QUANTISE: [
        ((L, 2, 1), (L, 100, 1), (L, 60, 1), (L, 500, 1)),
        ((L, 8, 1), (L, 8, 1), (L, 60, 0), (L, 500, 0)),
    ],
}
CONSTANTS = {Op.QUANTISE: 26, Op.TO_FIXED: 1 << 8 | 18, Op.CROSS: 4096, Op.COPY: 5, Op.SUM_MAGNITUDES: 5}


def sample(op, operands, n, reps=1):
    return word(op, *operands, n=n, reps=reps, constant=CONSTANTS.get(op, 0))
