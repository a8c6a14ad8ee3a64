"""FLOAT programs of the compiler leave what the golden channel unit computes, bit for bit."""

import numpy as np
import pytest

from cpt.host.compiler import channel as emitted
from cpt.host.compiler.builder import Builder
from cpt.host.compiler.vectors import ZERO, Vectors, integer, number
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.floats import FIELD, Coefficient, Op, SlotConstant, Space, Statistic
from cpt.model.golden.fabric import channel as golden
from cpt.model.golden.fabric.apply import MIDDLE
from cpt.model.golden.fabric.codes import weight_codes
from cpt.model.golden.fabric.drain import error_statistics, forward_statistics
from cpt.sim.step.machine import StepMachine

CHANNEL, SLOT, ERROR_SLOT = 16, 3, 4


class Fixed(Builder):
    """A builder that gives vectors their places at once, one behind the other."""

    def __init__(self, first):
        super().__init__(preset("tiny"))
        self.next = first

    def name(self, count):
        self.next += count
        return self.next - count


class Bench:
    """A machine, a program under way, and ways to put vectors in and take them out."""

    def __init__(self, bits=5, error_bits=8):
        self.machine = StepMachine(preset("tiny"), memory=64, scratch_words=4)
        self.machine.state.slots[SLOT].bits = bits
        self.machine.state.slots[ERROR_SLOT].bits = error_bits
        self.builder = Fixed(1024)
        self.vectors = Vectors(self.builder)
        self.inputs = Vectors(Fixed(0))

    def put(self, values):
        values = np.atleast_1d(np.asarray(values))
        vector = self.inputs.new(len(values))
        words = values.astype(np.float32).view(np.int32) if values.dtype.kind == "f" else values
        self.machine.state.local[vector.address : vector.address + len(values)] = words
        return vector

    def count(self, statistics, channel=CHANNEL):
        joint = statistics.squares if hasattr(statistics, "squares") else statistics.with_y
        fields = (statistics.total, joint, statistics.lowest, statistics.highest)
        for field, values in zip(Statistic, fields, strict=True):
            self.machine.state.statistic(field, channel, len(values))[:] = values

    def run(self):
        self.machine.run(self.builder.program)
        self.builder.words.clear()

    def floats(self, vector):
        return self.integers(vector).view(np.float32)

    def integers(self, vector):
        return self.machine.state.local[vector.address : vector.address + vector.count]

    def coefficients(self, field, count):
        return self.machine.state.coefficients[field * FIELD + CHANNEL :][:count]


def drawn(seed, channels=7, pixels=48):
    rng = np.random.default_rng(seed)
    y = (rng.normal(0, 3000, (pixels, channels)) + rng.normal(0, 2000, channels)).round().clip(-32000, 32000)
    d = rng.normal(0, rng.uniform(1, 4000, channels), (pixels, channels)).round().clip(-32000, 32000)
    d[:, seed % channels] = 0
    unit = rng.uniform(1e-5, 1e-3, channels).astype(np.float32)
    gamma = rng.normal(1, 0.3, channels).astype(np.float32)
    beta = rng.normal(0, 0.3, channels).astype(np.float32)
    return y.astype(np.int16), d.astype(np.int16), unit, gamma, beta


def same(norm, expected, bench):
    for name in ("mean", "inverse", "factor", "beta"):
        np.testing.assert_array_equal(bench.floats(getattr(norm, name)), getattr(expected, name), name)


@pytest.mark.parametrize("seed", range(4))
def test_batch_norm_and_the_coefficients_of_an_inner_apply(seed):
    y, _, unit, gamma, beta = drawn(seed)
    statistics = forward_statistics(y)
    expected, mean, unbiased = golden.batch_norm(statistics, unit, gamma, beta)
    bench = Bench()
    bench.count(statistics)
    v, channels = bench.vectors, len(unit)
    held = emitted.forward_statistics(CHANNEL, channels, len(y))
    norm, real_mean, variance = emitted.batch_norm(
        v, held, bench.put(unit), bench.put(gamma), bench.put(beta)
    )
    highest = v.highest(emitted.highest_output(v, norm, held))
    code_unit = emitted.inner_unit(v, norm.factor, highest, SLOT)
    emitted.inner_coefficients(v, CHANNEL, norm.factor, norm.mean, norm.beta, code_unit)
    bench.run()
    same(norm, expected, bench)
    np.testing.assert_array_equal(bench.floats(real_mean), mean)
    np.testing.assert_array_equal(bench.floats(variance), unbiased)
    top = np.max(golden.highest_output(expected, statistics))
    assert bench.floats(highest)[0] == top
    wanted = golden.inner_unit(expected, top, 5)
    assert bench.floats(code_unit)[0] == wanted
    affine = golden.inner_coefficients(expected, wanted)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.MULTIPLIER, channels), affine.multiplier)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.ADDEND, channels), affine.addend)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.TOTAL_SHIFT, channels), affine.shift)


@pytest.mark.parametrize("joins", ["nothing", "stream", "linear stream", "shortcut"])
def test_a_blocks_end(joins):
    y, x, unit, gamma, beta = drawn(5)
    statistics, of_x = forward_statistics(y), forward_statistics(np.abs(x))
    expected, _, _ = golden.batch_norm(statistics, unit, gamma, beta)
    bench = Bench()
    bench.count(statistics)
    v, channels = bench.vectors, len(unit)
    held = emitted.forward_statistics(CHANNEL, channels, len(y))
    norm, _, _ = emitted.batch_norm(v, held, bench.put(unit), bench.put(gamma), bench.put(beta))
    side = wanted_side = None
    if joins.endswith("stream"):
        middle = MIDDLE if joins.startswith("linear") else 0
        ends = [of_x.highest - middle, of_x.lowest - middle]
        wanted_side = golden.stream_side(-9, *ends, middle)
        side = emitted.stream_side(v, bench.put(np.array([-9])), *map(bench.put, ends), middle)
    elif joins == "shortcut":
        other, _, _ = golden.batch_norm(of_x, unit, beta, gamma)
        wanted_side = golden.shortcut_side(other, of_x)
        bench.count(of_x, CHANNEL + 16)
        second = emitted.forward_statistics(CHANNEL + 16, channels, len(y))
        found, _, _ = emitted.batch_norm(v, second, bench.put(unit), bench.put(beta), bench.put(gamma))
        ends = [of(v, found, second) for of in (emitted.highest_output, emitted.lowest_output)]
        side = emitted.Side(found.factor, found.mean, found.beta, *ends)
    highest = emitted.highest_output(v, norm, held)
    exponent = emitted.block_unit(v, emitted.block_bound(v, highest, side), norm, side)
    emitted.block_coefficients(v, CHANNEL, norm, side, exponent)
    bench.run()
    bound = golden.block_bound(golden.highest_output(expected, statistics), wanted_side)
    wanted = golden.block_unit(bound, expected, wanted_side)
    assert bench.integers(exponent)[0] == wanted
    affine = golden.block_coefficients(expected, wanted_side, wanted)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.MULTIPLIER, channels), affine.multiplier)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.ADDEND, channels), affine.addend)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.TOTAL_SHIFT, channels), affine.shift)
    if affine.second is not None:
        np.testing.assert_array_equal(bench.coefficients(Coefficient.SECOND, channels), affine.second)
    largest = bench.put(np.array([1234.5], np.float32))
    code = emitted.stream_unit(v, largest, SLOT)
    emitted.code_coefficients(v, CHANNEL, code, bench.put(np.array([wanted])))
    bench.run()
    assert bench.floats(code)[0] == golden.stream_unit(np.float32(1234.5), 5)
    multiplier, shift = golden.code_coefficients(golden.stream_unit(np.float32(1234.5), 5), wanted)
    assert bench.coefficients(Coefficient.MULTIPLIER, 1).tolist() == [multiplier]
    assert bench.coefficients(Coefficient.TOTAL_SHIFT, 1).tolist() == [shift]


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_coefficients_of_errors(seed, in_pieces):
    y, d, unit, gamma, beta = drawn(seed)
    forward, errors = forward_statistics(y), error_statistics(d, y)
    norm, _, _ = golden.batch_norm(forward, unit, gamma, beta)
    error_unit = np.exp2(np.arange(len(unit)) - 20.0).astype(np.float32)
    expected = golden.error_coefficients(norm, forward, errors, error_unit, gamma, 8)
    bench = Bench()
    bench.count(errors)
    v, channels = bench.vectors, len(unit)
    bench.count(forward, CHANNEL + 32)

    def terms(some):
        kept = emitted.Norm(
            *(bench.put(value[some]) for value in (norm.unit, norm.mean, norm.inverse)), *[None] * 2
        )
        count = some.stop - some.start
        held = emitted.forward_statistics(CHANNEL + 32 + some.start, count, len(y))
        found = emitted.error_statistics(CHANNEL + some.start, count)
        return emitted.error_terms(v, kept, held, found, bench.put(error_unit[some]), bench.put(gamma[some]))

    pieces = [slice(0, channels // 2), slice(channels // 2, channels)] if in_pieces else [slice(0, channels)]
    found = [terms(some) for some in pieces]
    unit_of_codes = emitted.error_unit(v, found, ERROR_SLOT)
    inverse = v.reciprocal(unit_of_codes)
    for some, each in zip(pieces, found, strict=True):
        emitted.error_coefficients(v, CHANNEL + some.start, each, inverse)
    bench.run()
    np.testing.assert_array_equal(bench.floats(unit_of_codes), np.atleast_1d(expected.unit))
    for name in ("d_gamma", "d_beta"):
        values = np.concatenate([bench.floats(getattr(each, name)) for each in found])
        np.testing.assert_array_equal(values, getattr(expected, name))
    affine = expected.coefficients
    np.testing.assert_array_equal(bench.coefficients(Coefficient.MULTIPLIER, channels), affine.multiplier)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.SECOND, channels), affine.second)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.ADDEND, channels), affine.addend)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.TOTAL_SHIFT, channels), affine.shift)


def test_the_coefficients_of_a_blocks_gradient():
    y, d, _, _, _ = drawn(2)
    rng = np.random.default_rng(3)
    weights = weight_codes(rng.normal(0, 0.1, (7, 36)).astype(np.float32), 5)
    stream = error_statistics(d, y)
    stream_unit = np.exp2(np.arange(7) - 25.0).astype(np.float32)
    error_unit = np.float32(3.1e-6)
    expected, unit = golden.block_error_coefficients(weights, 8, error_unit, stream, stream_unit)
    bench = Bench()
    bench.count(stream)
    v = bench.vectors
    of_stream = emitted.error_statistics(CHANNEL, 7)
    found = emitted.block_error_coefficients(
        v,
        CHANNEL,
        bench.put(weights.scale),
        bench.put(weights.sums),
        SLOT,
        ERROR_SLOT,
        bench.put(np.array([error_unit])),
        emitted.largest_magnitude(v, of_stream.lowest, of_stream.highest),
        bench.put(stream_unit),
    )
    bench.run()
    np.testing.assert_array_equal(bench.floats(found), unit)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.SHIFT, 7), expected.shift)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.MULTIPLIER, 7), expected.product)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.SECOND, 7), expected.stream)
    np.testing.assert_array_equal(bench.coefficients(Coefficient.TOTAL_SHIFT, 7), expected.total_shift)


def test_running_averages_go_on_in_place():
    bench = Bench()
    old = bench.put(np.array([1.5, -2.25, 0.0], np.float32))
    before = bench.floats(old).copy()
    new = np.array([1.0, 7.0, 1e-3], np.float32)
    rate = golden.running_rate(4)
    emitted.running(bench.vectors, old, bench.put(new), number(float(rate)))
    bench.run()
    np.testing.assert_array_equal(bench.floats(old), golden.running(before, new, rate))


def test_a_slots_numbers_follow_its_bits():
    bench = Bench(bits=6)
    found = bench.vectors.int_add(integer(1), emitted.of_slot(SLOT, SlotConstant.FRACTION_BITS))
    bench.run()
    assert found.space is Space.LOCAL
    assert bench.integers(found)[0] == 12


def test_an_instruction_holds_one_number():
    v = Bench().vectors
    with pytest.raises(ContractError, match=r"MAXIMUM takes the numbers \[0, 3\]; allowed: one"):
        v.emit(Op.MAXIMUM, ZERO, integer(3))
