"""The float engine leaves in every memory what `sim.step.floats` leaves there."""

import numpy as np
import pytest
from float_engine_bench import FloatBench
from float_words import (
    CONSTANTS,
    FLOATS_AT,
    FREE,
    INTEGERS_AT,
    LANES,
    SAMPLES,
    SHIFTS_AT,
    C,
    L,
    S,
    drawn_state,
    same_as_the_model,
    sample,
    word,
)

from cpt.hw.contract.config import FLOAT_LANES
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.step import Engine, decode
from cpt.sim.step.float_cycles import float_cycles


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


def test_a_code_is_a_difference_times_a_factor_rounded():
    state, n = drawn_state(12), 480
    state.local[:n] = np.random.default_rng(12).normal(0, 0.1, n).astype("<f4").view("<i4")
    state.local[1000:1002] = np.float32([-0.31, 7 / 0.64]).view("<i4")
    low, factor, at = (L, 1000, 0), (L, 1001, 0), FREE + 512
    words = [
        word(Op.QUANTISE, (L, FREE, 1), (L, 0, 1), low, factor, n=n, constant=1 << 8 | 26),  # no centre
        word(Op.SUBTRACT, (L, at, 1), (L, 0, 1), low, n=n),
        word(Op.MULTIPLY, (L, at, 1), (L, at, 1), factor, n=n),
        word(Op.TO_FIXED, (L, at, 1), (L, at, 1), (L, 1002, 0), n=n, constant=26),
    ]
    state.local[1002] = 0
    bench = same_as_the_model(words, 12, state=state)
    assert (state.local[FREE:][:n] == state.local[at:][:n]).all()
    assert np.ptp(state.local[FREE:][:n]) > 5
    assert bench.cycles[0] < sum(bench.cycles[1:]) / 2


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
