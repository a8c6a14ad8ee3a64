"""The float engine beside `sim.step.floats`: programs drawn at random, and what a compiled step holds."""

import copy

import numpy as np
import pytest
from float_engine_bench import FloatBench
from float_words import (
    CONSTANTS,
    FLOATS_AT,
    FREE,
    INTEGERS_AT,
    LANES,
    SHIFTS_AT,
    C,
    L,
    S,
    drawn_state,
    same_as_the_model,
    word,
)

from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.config import FLOAT_LANES
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.step import Code, decode, encode
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.step.float_cycles import float_cycles
from cpt.sim.step.floats import Floats
from cpt.sim.step.machine import StepMachine

REGIONS = {
    "float": [(L, FLOATS_AT, 1500), (Space.CONSTANT, 0, 1), (Space.SLOT, 0, 0)],
    "integer": [(L, INTEGERS_AT, 1500), (S, 0, 1500), (C, 0, 2000), (Space.SLOT, 0, 0)],
    "short": [(L, SHIFTS_AT, 1500), (Space.SLOT, 0, 0)],
    "word": [(L, INTEGERS_AT, 1500)],
}
SHAPES = {
    **dict.fromkeys(
        (Op.ADD, Op.SUBTRACT, Op.MULTIPLY, Op.MAXIMUM, Op.MINIMUM, Op.LARGEST), ("float", "float")
    ),
    **dict.fromkeys((Op.MULTIPLY_ADD, Op.QUANTISE), ("float", "float", "float")),
    **dict.fromkeys((Op.RECIPROCAL, Op.EXPONENT, Op.POWER), ("float",)),
    **dict.fromkeys((Op.SCALE, Op.TO_FIXED), ("float", "short")),
    Op.FROM_INTEGER: ("integer", "short"),
    Op.CROSS: ("integer", "integer", "integer"),
    **dict.fromkeys((Op.INT_ADD, Op.INT_SUBTRACT), ("integer", "integer")),
    **dict.fromkeys((Op.INT_MAXIMUM, Op.INT_MINIMUM), ("word", "word")),
    Op.SUM_MAGNITUDES: ("short", "word", "word"),
    Op.DRAIN_SHIFT: ("word", "short"),
    Op.COPY: ("integer",),
    Op.JOIN: ("word", "short"),
}
MAKES = {op for op in SHAPES if op <= Op.RECIPROCAL_ROOT or op in (Op.SCALE, Op.FROM_INTEGER, Op.CROSS)}
MAKES.add(Op.QUANTISE)
"""Operations whose results may take the place of floats."""


def drawn_word(rng, step=1, most=7):
    """An instruction whose operands and destination lie apart, walk together, or meet.

    ``step``: what most addresses and strides are multiples of; ``most``: elements of a repetition, less one.
    """
    op = list(SHAPES)[rng.integers(len(SHAPES))]
    n, reps = int(rng.integers(1, most)), int(rng.choice([1, 1, 2, 4]))
    off = step if rng.random() < 0.9 else 1

    def stride(*choices):
        return int(rng.choice([value + -value % off for value in choices]))

    operands = []
    for kind in SHAPES[op]:
        space, start, size = REGIONS[kind][rng.integers(len(REGIONS[kind]))]
        address = start + off * int(rng.integers(0, size)) // off if size else int(rng.integers(32)) * 8 + 2
        address -= address % off if size else 0
        operands.append((space, address, int(rng.random() < 0.8), stride(0, 1, n, n + 3)))
    to = (L, FREE + off * int(rng.integers(0, 4000 // off)), int(rng.random() < 0.7), stride(0, 1, n))
    own = "float" if op in MAKES else "word"
    like = [
        operand for kind, operand in zip(SHAPES[op], operands, strict=True) if kind == own and operand[0] is L
    ]
    if like and rng.random() < 0.6:
        to = like[rng.integers(len(like))]
        if rng.random() < 0.4:
            to = (L, to[1] + off * int(rng.integers(0, 4)), *to[2:])
    return word(op, to, *operands, n=n, reps=reps, constant=CONSTANTS.get(op, 1))


def drawn_program(state, rng, count, *shape):
    model, words = Floats(copy.deepcopy(state)), []
    while len(words) < count:
        item, before = drawn_word(rng, *shape), copy.deepcopy(model.state)
        if float_cycles(decode(item), state.config.float_lanes) > 400:
            continue
        try:
            model.run(decode(item))
        except ArithmeticError:  # a float became infinite
            model.state = before
            continue
        words.append(item)
    return words


@pytest.mark.parametrize("seed", range(2))
def test_programs_drawn_at_random(seed):
    state = drawn_state(seed)
    words = drawn_program(state, np.random.default_rng(100 + seed), 30)
    same_as_the_model(words, seed, 0.3 * seed, state)


@pytest.mark.parametrize("lanes", FLOAT_LANES)
@pytest.mark.parametrize("seed", range(2))
def test_elements_of_all_lanes_at_once(seed, lanes):
    state = drawn_state(seed, lanes)
    words = drawn_program(state, np.random.default_rng(200 + seed), 24, lanes, 41)
    same_as_the_model(words, seed, 0.3 * seed, state)


def test_instructions_of_a_compiled_step():
    """Every kind of FLOAT that a network's programs hold, each on the memories that it met there."""
    arch = cifar_resnet(8, classes=3, image_size=8, image_channels=1, width=4)
    net = Network.residual(arch, np.full(1, 0.05, np.float32), np.full(1, -0.7, np.float32), 1)
    machine = StepMachine(preset("tiny"), memory=1 << 21, scratch_words=4 * 2048)
    settings = {"batch_size": 2, "micro_batch": 2, "scratch_words": 4 * 2048, "seed": 5}
    trainer = FabricTrainer(machine, preset("tiny"), net, **settings)
    seen, run = {}, machine.floats.run

    def noted(item):
        kind = tuple(
            value if name == "op" or "space" in name or "moves" in name else value > 1
            for name, value in sorted(item.values.items())
            if not name.startswith("wait") and name not in ("to", "a", "b", "c", "constant")
        )
        if kind not in seen and item.n * item.reps <= 150:
            seen[kind] = (item, copy.deepcopy(machine.state))
            run(item)
            seen[kind] += (copy.deepcopy(machine.state),)
        else:
            run(item)

    machine.floats.run = noted
    machine._handlers[Code.FLOAT] = noted
    rng = np.random.default_rng(3)
    trainer.train_step(rng.integers(0, 40, (2, 8, 8, 1)).astype(np.uint8), np.array([0, 2]), (3, 8), 0.1)
    assert len(seen) > 40
    words = [
        encode(Code.FLOAT, **{name: value for name, value in item.values.items() if name[:4] != "wait"})
        for item, _, _ in seen.values()
    ]
    bench = FloatBench(machine.state)
    bench.run(words, states=[before for _, before, _ in seen.values()])
    assert bench.cycles == [float_cycles(decode(item), LANES) for item in words]
    for item, before, after in seen.values():
        for memory in ("local", "statistics", "coefficients"):
            assert np.array_equal(getattr(before, memory), getattr(after, memory)), item
