"""The float engine leaves in every memory what `sim.step.floats` leaves there."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from channel_numbers import drawn_floats
from float_engine_bench import FloatBench

from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.config import FLOAT_LANES
from cpt.hw.contract.floats import FIELD, Op, Space
from cpt.hw.contract.step import Code, Engine, decode, encode
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.step.float_cycles import Queue, float_cycles
from cpt.sim.step.floats import Floats
from cpt.sim.step.machine import StepMachine
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
}
CONSTANTS = {Op.TO_FIXED: 1 << 8 | 18, Op.CROSS: 4096, Op.COPY: 5, Op.SUM_MAGNITUDES: 5}


def sample(op, operands, n, reps=1):
    return word(op, *operands, n=n, reps=reps, constant=CONSTANTS.get(op, 0))


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_every_operation_over_vectors_of_channels(stall):
    words = [sample(op, operands, 7) for op, cases in SAMPLES.items() for operands in cases]
    words.append(word(Op.LARGEST, (L, 20, 1), (Space.CONSTANT, 0), (L, 20, 1), n=9))
    words.append(word(Op.RECIPROCAL_ROOT, (L, 9000, 1), (L, 20, 1), n=9))
    bench = same_as_the_model(words, 1, stall)
    assert bench.overflows == 0


def test_a_resting_destination_keeps_the_extreme_of_each_row_and_of_all():
    words = []
    for op, values in (
        (Op.MAXIMUM, 300),
        (Op.MINIMUM, 301),
        (Op.LARGEST, 302),
        (Op.INT_MINIMUM, INTEGERS_AT),
    ):
        for to in ((L, FREE + 4 * len(words), 0, 1), (L, FREE + 4 * len(words), 0, 0)):
            words.append(word(Op.COPY, (*to[:2], 1, 0), (L, values, 1), n=3))
            words.append(word(op, to, to, (L, values + 9, 1, 8), n=8, reps=3))
    bench = same_as_the_model(words, 2)
    assert max(bench.cycles[1::2]) < 24 * 2 + 40, "an element a cycle"


def test_magnitudes_add_up_in_a_resting_destination():
    to = (L, FREE, 0, 1)
    words = [
        word(Op.COPY, (L, FREE, 1), (Space.CONSTANT, 0), n=4),
        word(
            Op.SUM_MAGNITUDES, to, (L, SHIFTS_AT, 1, 9), (L, INTEGERS_AT, 0, 1), to, n=9, reps=4, constant=7
        ),
        word(
            Op.SUM_MAGNITUDES,
            (L, FREE, 1),
            (L, SHIFTS_AT, 1, 4),
            (L, 3, 0),
            (L, FREE, 1),
            n=4,
            reps=5,
            constant=7,
        ),
    ]
    same_as_the_model(words, 3)


def test_products_add_up_one_by_one_where_they_must():
    to = (L, FREE, 0, 0)
    words = [
        word(Op.COPY, to, (Space.CONSTANT, 0), n=1),
        word(Op.MULTIPLY_ADD, to, (L, 0, 0, 1), (L, 50, 0, 1), to, n=1, reps=9),
        word(Op.MULTIPLY_ADD, to, (L, 5, 1), (L, 61, 1), to, n=7),
        word(Op.COPY, (L, FREE + 8, 1), (L, 9, 1), n=5),
        word(Op.MULTIPLY_ADD, (L, FREE + 8, 1), (L, 2, 0, 1), (L, 30, 1, 5), (L, FREE + 8, 1), n=5, reps=4),
    ]
    same_as_the_model(words, 4)


@pytest.mark.parametrize("distance", [-3, -1, 1, 2])
def test_an_element_reads_what_the_one_before_it_wrote(distance):
    words = [
        word(Op.ADD, (L, 100, 1), (L, 100 + distance, 1), (L, 300, 1), n=6),
        word(Op.INT_ADD, (C, 100, 1), (C, 100 + distance, 1), (L, INTEGERS_AT, 1), n=4),
        word(Op.ADD, (L, 400, 1, 2), (L, 400, 1, 2), (L, 300, 1), n=4, reps=3),
    ]
    same_as_the_model(words, 5)


@pytest.mark.parametrize(
    ("start", "width", "scratch_words"),
    [(256, 4, 1024), (257, 4, 1024), (300, 3, 1024), (500, 4, 1024), (257, 4, 16384), (8100, 4, 16384)],
)
def test_sums_of_products_become_floats(start, width, scratch_words):
    words = [
        word(
            Op.FROM_INTEGER,
            (L, 3, 1, 9),
            (Space.SUMS, start, 1, 2),
            (Space.CONSTANT, 0),
            n=width,
            reps=5,
            constant=1,
        )
    ]
    same_as_the_model(words, 6, 0.3, drawn_state(6, words=scratch_words))


def test_an_instruction_is_prepared_while_the_one_before_it_is_at_work():
    words = [word(Op.ADD, (L, FREE, 1), (L, FREE, 1), (L, 300, 1), n=8) for _ in range(4)]
    words += [
        word(Op.COPY, (C, 40, 1), (L, FREE, 1), n=8),
        word(Op.INT_ADD, (C, 50, 1), (C, 41, 1), (C, 39, 1), n=6),
        word(Op.COPY, (L, FREE + 3, 1), (L, FREE, 1), n=0),
        word(Op.COPY, (L, FREE + 3, 1), (C, 51, 1), n=5),
        word(Op.INT_MAXIMUM, (L, FREE, 0), (L, FREE, 0), (L, FREE + 2, 1), n=6),
    ]
    bench = same_as_the_model(words, 9)
    alone = [float_cycles(decode(item), LANES) for item in words]
    assert all(found <= cycles - 10 for found, cycles in zip(bench.cycles[1:4], alone[1:4], strict=True))


def close_word(rng, lanes):
    """An instruction on a few words of integers, which the ones before and behind it use as well."""
    op = [Op.COPY, Op.INT_ADD, Op.INT_SUBTRACT, Op.INT_MAXIMUM, Op.FROM_INTEGER][rng.integers(5)]
    n, reps = int(rng.choice([1, 3, 2 * lanes, 12 * lanes])), int(rng.choice([1, 1, 1, 2]))

    def drawn(space):
        if space is not L:
            return (space, int(rng.integers(0, 8)), 1, 0)
        return (
            L,
            FREE + lanes * int(rng.integers(0, 4)) + int(rng.random() < 0.1),
            int(rng.random() < 0.9),
            0,
        )

    to, a, b = (drawn([L, L, L, L, L, other, C][rng.integers(7)]) for other in (C, S, S))
    if op is Op.FROM_INTEGER:
        to, b = drawn(L), (Space.CONSTANT, 0)
    return word(op, to, a, b, n=n, reps=reps, constant=int(op is Op.FROM_INTEGER))


@pytest.mark.parametrize("lanes", FLOAT_LANES)
def test_instructions_find_what_the_ones_before_them_still_write(lanes):
    rng, words = np.random.default_rng(lanes), []
    while len(words) < 60:
        item = close_word(rng, lanes)
        if float_cycles(decode(item), lanes) < 150:
            words.append(item)
    same_as_the_model(words, 10, state=drawn_state(10, lanes))


def test_an_instruction_begins_before_results_that_it_does_not_read():
    far = [(L, FREE + 100 * place, 1) for place in range(4)]
    first = word(Op.MULTIPLY_ADD, far[0], (L, 0, 1), (L, 400, 1), (L, 800, 1), n=24)
    marks = [
        same_as_the_model([first, word(Op.MULTIPLY, far[1], source, (L, 400, 1), n=24)], 11).cycles[1]
        for source in ((L, 0, 1), far[0], (L, FREE + 2, 1))
    ]
    assert marks[0] == marks[1] < marks[2], "at the pace of what it reads, or behind all of it"


def test_an_instruction_without_elements_does_nothing_and_counts():
    words = [
        word(Op.COPY, (L, 0, 1), (L, 9, 1), n=0),
        word(Op.COPY, (L, 0, 1), (L, 9, 1), n=3, reps=0),
        word(Op.COPY, (L, 0, 1), (L, 9, 1), n=3),
    ]
    assert len(same_as_the_model(words).cycles) == 3


def test_an_instruction_waits_for_its_marks():
    state = drawn_state(0)
    late = word(Op.COPY, (L, 0, 1), (L, 9, 1), n=3, wait0_engine=int(Engine.STORE), wait0_first=5)
    marks = [0] * (max(Engine) + 1)
    marks[Engine.STORE] = 4
    with pytest.raises(AssertionError, match="is not done"):
        FloatBench(state).run([late], marks, deadline=60)
    marks[Engine.STORE] = 5
    FloatBench(state).run([late], marks, deadline=60)


def test_an_infinite_result_is_told():
    state = drawn_state(0)
    bench = FloatBench(state)
    bench.run([word(Op.SCALE, (L, 0, 1), (L, 9, 1), (Space.CONSTANT, 0), n=2, constant=300)])
    assert bench.overflows == 2


@pytest.mark.parametrize("op", [op for op in SAMPLES if op not in (Op.RECIPROCAL, Op.CROSS)])
def test_a_short_operation_behind_another_has_its_own_results_alone(op):
    """Units see the elements of all operations, and theirs leave late: SCALE once had those of TO_FIXED."""
    state, rng = drawn_state(int(op)), np.random.default_rng(int(op))
    state.local[FLOATS_AT:INTEGERS_AT] = rng.uniform(-8, 8, INTEGERS_AT - FLOATS_AT).astype("<f4").view("<i4")
    words = []
    for place, short in enumerate((Op.SCALE, Op.EXPONENT, Op.POWER, Op.MULTIPLY, Op.COPY, Op.MAXIMUM)):
        for n in (1, 8):
            to = FREE + 64 * len(words)
            _, *sources = SAMPLES[op][0]
            words.append(word(op, (L, to, 1), *sources, n=n, constant=CONSTANTS.get(op, 0)))
            of_short = [(L, 200 + 8 * place, 1), (L, (SHIFTS_AT if short is Op.SCALE else 400), 1)]
            words.append(word(short, (L, to + 32, 1), *of_short, n=8))
    same_as_the_model(words, state=state)


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
    Op.MULTIPLY_ADD: ("float", "float", "float"),
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
"""Operations whose results are floats."""


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


@pytest.mark.parametrize("lanes", FLOAT_LANES)
def test_vectors_that_touch_the_lanes_take_a_cycle_for_all_of_them(lanes):
    count, to = 160, (L, FREE, 1)
    words = [
        word(Op.ADD, to, (L, 0, 1), (L, 400, 1), n=count),
        word(Op.MULTIPLY_ADD, (L, FREE, 1, 40), (L, 0, 1, 40), (L, 400, 1, 0), (L, 800, 0, 1), n=40, reps=4),
        word(Op.MAXIMUM, (L, 9000, 0), (L, 9000, 0), to, n=count - 1),
        word(Op.SUM_MAGNITUDES, (L, 9002, 0), (L, SHIFTS_AT, 1), (L, 9003, 0), (L, 9002, 0), n=count - 3),
    ]
    bench = same_as_the_model(words, 7, state=drawn_state(7, lanes))
    assert max(bench.cycles) < count // lanes + 80


@pytest.mark.parametrize(("columns", "waits"), [(16, True), (80, False)])
def test_repetitions_follow_each_other_where_they_are_long_enough(columns, waits):
    to = (L, FREE, 1, 0)
    words = [
        word(Op.COPY, (L, FREE, 1), (Space.CONSTANT, 0), n=columns),
        word(Op.MULTIPLY_ADD, to, (L, 0, 0, 1), (L, 400, 1, columns), to, n=columns, reps=5),
        word(Op.LARGEST, to, to, (L, 400, 1, columns), n=columns, reps=5),
    ]
    bench = same_as_the_model(words, 8)
    assert (max(bench.cycles) > 5 * columns // LANES + 80) == waits


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
