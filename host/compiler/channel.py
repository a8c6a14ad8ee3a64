"""The channel unit's programs: what `cpt.model.golden.fabric.channel` computes, as FLOAT instructions.

Functions bear the names of the golden ones and make the same numbers in the same order of roundings; a test
runs both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpt.host.compiler.vectors import (
    ADDEND_BITS,
    CENTRED,
    MULTIPLIER_BITS,
    ZERO,
    Vector,
    Vectors,
    coefficient,
    integer,
    number,
    of_slot,
    statistic,
)
from cpt.hw.contract.floats import Coefficient, SlotConstant, Statistic
from cpt.model.golden.fabric import channel as golden
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT, MIDDLE
from cpt.model.golden.fabric.drain import MOST_SHIFT
from cpt.model.golden.fabric.float_unit import fraction

MANTISSA = 15


@dataclass(frozen=True)
class Norm:
    """Vectors of a batch norm: see the golden `Norm`."""

    unit: Vector
    mean: Vector
    inverse: Vector
    factor: Vector
    beta: Vector


@dataclass(frozen=True)
class Side:
    """What joins a block's end; the residual stream has no beta, and a mean behind a linear end alone."""

    factor: Vector
    mean: Vector | None
    beta: Vector | None
    highest: Vector
    lowest: Vector | None
    """None: 0, or nobody asks."""


@dataclass(frozen=True)
class Forward:
    """Statistics of y, from the statistics memory or kept as words."""

    count: int
    total: Vector
    squares: Vector
    lowest: Vector
    highest: Vector


@dataclass(frozen=True)
class Errors:
    """Statistics of d."""

    total: Vector
    with_y: Vector
    lowest: Vector
    highest: Vector


@dataclass(frozen=True)
class ErrorTerms:
    """Of some channels, what is known before the unit of all channels' error codes."""

    a: Vector
    """Factors of d and of y, real."""
    b: Vector
    d_mean: Vector
    mean: Vector
    largest: Vector
    """What no error's magnitude exceeds: one number."""
    d_gamma: Vector
    d_beta: Vector


def forward_statistics(channel: int, channels: int, count: int) -> Forward:
    """Those that a DRAIN FORWARD left from ``channel`` on."""
    fields = [
        statistic(which, channel, channels)
        for which in (Statistic.TOTAL, Statistic.PRODUCT, Statistic.LOWEST, Statistic.HIGHEST)
    ]
    return Forward(count, *fields)


def error_statistics(channel: int, channels: int) -> Errors:
    """Those that a drain of errors left from ``channel`` on."""
    return Errors(
        *(
            statistic(which, channel, channels)
            for which in (Statistic.TOTAL, Statistic.PRODUCT, Statistic.LOWEST, Statistic.HIGHEST)
        )
    )


def forward_unit(v: Vectors, scale: Vector, shift: Vector, unit: Vector, slot: int) -> Vector:
    """Unit of a drain's results; ``slot``: of the weights."""
    exponent = v.int_subtract(shift, of_slot(slot, SlotConstant.FRACTION_BITS))
    return v.scale(v.multiply(scale, unit), exponent)


def batch_norm(
    v: Vectors, statistics: Forward, unit: Vector, gamma: Vector, beta: Vector
) -> tuple[Norm, Vector, Vector]:
    """Coefficients, real mean and unbiased variance."""
    count = statistics.count
    share = number(float(fraction(count)))
    mean = v.multiply(v.from_integer(statistics.total), share)
    exact = v.cross(statistics.squares, statistics.total, statistics.total, count)
    variance = v.multiply(v.multiply(exact, share), share)
    spread = v.multiply(v.multiply(variance, unit), unit)
    inverse = v.reciprocal_root(v.add(spread, number(float(golden.EPSILON))))
    factor = v.multiply(v.multiply(gamma, inverse), unit)
    unbiased = v.multiply(spread, number(count / max(count - 1, 1)))
    return Norm(unit, mean, inverse, factor, beta), v.multiply(mean, unit), unbiased


def running_norm(
    v: Vectors, mean: Vector, variance: Vector, unit: Vector, gamma: Vector, beta: Vector
) -> Norm:
    """Coefficients from running averages."""
    inverse = v.reciprocal_root(v.add(variance, number(float(golden.EPSILON))))
    factor = v.multiply(v.multiply(gamma, inverse), unit)
    return Norm(unit, v.multiply(mean, v.reciprocal(unit)), inverse, factor, beta)


def highest_output(v: Vectors, norm: Norm, statistics: Forward) -> Vector:
    """Largest value of each channel of batch norm's output."""
    return v.add(v.maximum(*_ends(v, norm.factor, norm.mean, statistics)), norm.beta)


def lowest_output(v: Vectors, norm: Norm, statistics: Forward) -> Vector:
    """Smallest value of each channel of batch norm's output."""
    return v.add(v.minimum(*_ends(v, norm.factor, norm.mean, statistics)), norm.beta)


def _ends(v: Vectors, factor: Vector, mean: Vector, statistics: Forward | Errors) -> list[Vector]:
    """``factor*(value - mean)`` at a channel's lowest and highest value."""
    return [
        v.multiply(factor, v.subtract(v.from_integer(value), mean))
        for value in (statistics.lowest, statistics.highest)
    ]


def inner_unit(v: Vectors, factor: Vector, highest: Vector, slot: int, to: Vector | None = None) -> Vector:
    """Unit of the codes behind a ReLU."""
    least = _least(v, golden.FINEST, golden.ACTIVATION_FLOOR, factor)
    return v.maximum(v.multiply(highest, of_slot(slot, SlotConstant.TOP_SHARE)), least, to=to)


def _least(v: Vectors, finest: int, floor: np.float32, *factors: Vector) -> Vector:
    """``2^-finest`` of the largest factor, or ``floor``: both are exact, in either order."""
    return v.scale(v.largest(*factors, least=float(floor) * 2.0**finest), integer(-finest))


def channel_shift(v: Vectors, *factors: Vector) -> Vector:
    """Shift that gives the larger of a channel's factors 16 bits."""
    shift = v.int_subtract(integer(MANTISSA), v.exponent(v.magnitude(*factors)))
    return v.int_maximum(v.int_minimum(shift, integer(MOST_SHIFT)), ZERO)


def multiplier(v: Vectors, field: Coefficient, channel: int, factor: Vector, shift: Vector) -> Vector:
    """``factor`` as a multiplier among the coefficients, and as the float32 that it now is."""
    to = coefficient(field, channel, factor.count)
    return v.from_integer(v.to_fixed(factor, shift, MULTIPLIER_BITS, to=to))


def less_mean(v: Vectors, offset: Vector, held: Vector, mean: Vector | None) -> Vector:
    """``offset - held*mean``, ``held`` of `multiplier`; a mean that is None is 0."""
    return offset if mean is None else v.subtract(offset, v.multiply(held, mean))


def addend(v: Vectors, channel: int, offset: Vector, shift: Vector, centred: int = 0) -> None:
    """``rint(offset)`` as an addend; ``centred``: with half of what noise is short of."""
    to = coefficient(Coefficient.ADDEND, channel, offset.count)
    if centred:
        offset = v.scale(offset, v.int_subtract(ZERO, shift))
    v.to_fixed(offset, shift if centred else v.copy(ZERO), ADDEND_BITS | centred, to=to)


def inner_coefficients(
    v: Vectors, channel: int, factor: Vector, mean: Vector | None, beta: Vector, unit: Vector
) -> None:
    """Coefficients of INNER and, without a mean, of IMAGE."""
    inverse = v.reciprocal(unit)
    factor = v.multiply(factor, inverse)
    channels = factor.count
    shift = channel_shift(v, factor)
    v.copy(shift, to=coefficient(Coefficient.TOTAL_SHIFT, channel, channels))
    held = multiplier(v, Coefficient.MULTIPLIER, channel, factor, shift)
    offset = less_mean(v, v.scale(v.multiply(beta, inverse), shift), held, mean)
    addend(v, channel, offset, shift)


def stream_side(v: Vectors, unit: Vector, highest: Vector, lowest: Vector | None, middle: int) -> Side:
    """The residual stream at a block's end; ``unit``: its exponent of two, extremes: integers."""
    ones = v.copy(number(1.0), count=highest.count)
    below = None if lowest is None else v.scale(v.from_integer(lowest), unit)
    mean = number(float(middle)) if middle else None
    return Side(v.scale(ones, unit), mean, None, v.scale(v.from_integer(highest), unit), below)


def block_bound(v: Vectors, highest: Vector, side: Side | None) -> Vector:
    """What a block's output cannot exceed."""
    return v.highest(highest if side is None else v.add(highest, side.highest))


def linear_bound(v: Vectors, highest: Vector, lowest: Vector, side: Side | None) -> Vector:
    """Twice what the magnitude behind a linear end cannot exceed."""
    if side is not None:
        highest = v.add(highest, side.highest)
        lowest = lowest if side.lowest is None else v.add(lowest, side.lowest)
    return v.scale(v.highest(v.larger(highest, lowest)), integer(1))


def block_unit(v: Vectors, bound: Vector, norm: Norm, side: Side | None) -> Vector:
    """Unit of a block's output as an exponent of two."""
    factors = v.largest(*([norm.factor] if side is None else [side.factor, norm.factor]))
    least = v.int_subtract(v.exponent(factors), integer(golden.FINEST))
    least = v.int_maximum(least, integer(golden.LEAST_STREAM))
    return v.int_maximum(v.power(bound), least)


def block_coefficients(
    v: Vectors, channel: int, norm: Norm, side: Side | None, unit: Vector, middle: int = 0
) -> None:
    """Coefficients of BLOCK."""
    down = v.int_subtract(ZERO, unit)
    factor = v.scale(norm.factor, down)
    second = None if side is None else v.scale(side.factor, down)
    channels = factor.count
    shift = channel_shift(v, *((factor,) if second is None else (factor, second)))
    v.copy(shift, to=coefficient(Coefficient.TOTAL_SHIFT, channel, channels))
    held = multiplier(v, Coefficient.MULTIPLIER, channel, factor, shift)
    beta = norm.beta if side is None or side.beta is None else v.add(norm.beta, side.beta)
    offset = less_mean(v, v.scale(beta, v.int_subtract(shift, unit)), held, norm.mean)
    if side is not None and second is not None:
        held = multiplier(v, Coefficient.SECOND, channel, second, shift)
        offset = less_mean(v, offset, held, side.mean)
    if middle:
        offset = v.add(offset, v.scale(v.copy(number(float(middle)), count=channels), shift))
    addend(v, channel, offset, shift)


def stream_unit(v: Vectors, highest: Vector, slot: int, to: Vector | None = None) -> Vector:
    """Unit of the codes of the residual stream."""
    share = v.multiply(highest, of_slot(slot, SlotConstant.TOP_SHARE))
    return v.maximum(share, number(float(golden.ACTIVATION_FLOOR)), to=to)


def code_coefficients(v: Vectors, channel: int, code_unit: Vector, unit: Vector) -> None:
    """Coefficients of CODE, those of one channel, which serve all."""
    factor, shift = _code_factor(v, channel, 1, code_unit, unit)
    v.to_fixed(factor, shift, MULTIPLIER_BITS, to=coefficient(Coefficient.MULTIPLIER, channel, 1))
    v.copy(ZERO, to=coefficient(Coefficient.ADDEND, channel, 1))


def _code_factor(
    v: Vectors, channel: int, channels: int, code_unit: Vector, unit: Vector
) -> tuple[Vector, Vector]:
    """Factor from the stream to codes, and the shift of its coefficients, which is written."""
    factor = v.scale(v.reciprocal(code_unit), unit)
    if channels > 1:
        factor = v.copy(factor, count=channels)
    shift = channel_shift(v, factor)
    v.copy(shift, to=coefficient(Coefficient.TOTAL_SHIFT, channel, channels))
    return factor, shift


def linear_unit(v: Vectors, largest: Vector, slot: int, to: Vector | None = None) -> Vector:
    """Unit of the signed codes behind a linear end."""
    share = v.multiply(largest, of_slot(slot, SlotConstant.LARGEST_SHARE))
    return v.maximum(share, number(float(golden.ACTIVATION_FLOOR)), to=to)


def linear_coefficients(v: Vectors, channel: int, channels: int, code_unit: Vector, unit: Vector) -> None:
    """Coefficients of IMAGE behind a linear end: those of CODE, and ``-M*MIDDLE``."""
    factor, shift = _code_factor(v, channel, channels, code_unit, unit)
    held = multiplier(v, Coefficient.MULTIPLIER, channel, factor, shift)
    addend(v, channel, v.multiply(held, number(-float(MIDDLE))), shift)


def image_unit(
    v: Vectors, statistics: Forward, factor: Vector, offset: Vector, slot: int, to: Vector | None = None
) -> tuple[Vector, Vector]:
    """Unit of an image's codes and the largest standardised magnitude."""
    low = v.multiply_add(factor, v.from_integer(statistics.lowest), offset)
    high = v.multiply_add(factor, v.from_integer(statistics.highest), offset)
    largest = v.largest(low, high)
    return image_unit_of(v, largest, factor, slot, to), largest


def image_unit_of(v: Vectors, largest: Vector, factor: Vector, slot: int, to: Vector | None = None) -> Vector:
    """Unit of an image's codes for a largest magnitude."""
    least = _least(v, golden.FINEST, golden.ACTIVATION_FLOOR, factor)
    return v.maximum(v.multiply(largest, of_slot(slot, SlotConstant.LARGEST_SHARE)), least, to=to)


def largest_magnitude(v: Vectors, lowest: Vector, highest: Vector) -> Vector:
    """Per channel, an integer."""
    return v.int_maximum(highest, v.int_subtract(ZERO, lowest))


def error_terms(
    v: Vectors, norm: Norm, forward: Forward, errors: Errors, unit: Vector, gamma: Vector
) -> ErrorTerms:
    """What the coefficients of ERROR of some channels are made of, and their d gamma and d beta."""
    share = number(float(fraction(forward.count)))
    joint = v.cross(errors.with_y, forward.total, errors.total, forward.count)
    spread = v.multiply(norm.unit, norm.inverse)
    d_gamma = v.multiply(v.multiply(v.multiply(joint, share), spread), unit)
    total = v.from_integer(errors.total)
    d_beta, d_mean = v.multiply(total, unit), v.multiply(total, share)
    real = v.multiply(gamma, norm.inverse)
    alive = v.int_minimum(largest_magnitude(v, errors.lowest, errors.highest), integer(1))
    a = v.multiply(v.multiply(real, unit), v.from_integer(alive))
    b = v.subtract(ZERO, v.multiply(v.multiply(real, spread), v.multiply(d_gamma, share)))
    of_d, of_y = _ends(v, a, d_mean, errors), _ends(v, b, norm.mean, forward)
    high = v.add(v.maximum(*of_d), v.maximum(*of_y))
    low = v.add(v.minimum(*of_d), v.minimum(*of_y))
    return ErrorTerms(a, b, d_mean, norm.mean, v.highest(v.larger(high, low)), d_gamma, d_beta)


def error_unit(v: Vectors, terms: Sequence[ErrorTerms], slot: int, to: Vector | None = None) -> Vector:
    """Unit of the codes of errors of all channels; ``slot``: of those codes."""
    largest, *others = (each.largest for each in terms)
    for other in others:
        largest = v.maximum(largest, other)
    factors = [factor for each in terms for factor in (each.a, each.b)]
    least = _least(v, golden.FINEST_ERROR, golden.ERROR_FLOOR, *factors)
    return v.maximum(v.multiply(largest, of_slot(slot, SlotConstant.LARGEST_SHARE)), least, to=to)


def error_coefficients(v: Vectors, channel: int, terms: ErrorTerms, inverse: Vector) -> None:
    """Coefficients of ERROR of some channels; ``inverse``: of the codes' unit."""
    a, b = v.multiply(terms.a, inverse), v.multiply(terms.b, inverse)
    shift = v.int_maximum(channel_shift(v, a, b), integer(LEAST_NOISE_SHIFT))
    channels = a.count
    v.copy(shift, to=coefficient(Coefficient.TOTAL_SHIFT, channel, channels))
    held = multiplier(v, Coefficient.MULTIPLIER, channel, a, shift)
    offset = v.subtract(ZERO, v.multiply(held, terms.d_mean))
    held = multiplier(v, Coefficient.SECOND, channel, b, shift)
    addend(v, channel, less_mean(v, offset, held, terms.mean), shift, CENTRED)


def block_error_coefficients(
    v: Vectors,
    channel: int,
    scale: Vector,
    sums: Vector,
    weight_slot: int,
    error_slot: int,
    error_unit: Vector,
    stream: Vector,
    stream_unit: Vector,
) -> Vector:
    """Coefficients of BLOCK_ERROR; the unit of its result. ``stream``: the largest magnitudes, integers.

    SHIFT must be in the coefficients already; ``sums`` and ``scale`` are of the weights of dX.
    """
    channels = scale.count
    top = of_slot(error_slot, SlotConstant.LARGEST)
    shift = v.drain_shift(sums, top)
    v.copy(shift, to=coefficient(Coefficient.SHIFT, channel, channels))
    down = v.int_subtract(ZERO, of_slot(weight_slot, SlotConstant.FRACTION_BITS))
    product_unit = v.scale(v.multiply(scale, error_unit), down)
    bound = v.multiply(v.from_integer(sums, top), product_unit)
    drained_unit = v.multiply(v.scale(product_unit, shift), v.from_integer(v.int_minimum(sums, integer(1))))
    joined_unit = v.multiply(stream_unit, v.from_integer(v.int_minimum(stream, integer(1))))
    bound = v.multiply_add(v.from_integer(stream), joined_unit, bound)
    coarsest = v.exponent(v.maximum(drained_unit, joined_unit))
    coarsest = v.int_subtract(coarsest, integer(golden.FINEST_STREAM))
    unit = v.int_maximum(v.power(bound), v.int_maximum(coarsest, integer(golden.LEAST_GRADIENT)))
    down = v.int_subtract(ZERO, unit)
    product, joined = v.scale(drained_unit, down), v.scale(joined_unit, down)
    total_shift = channel_shift(v, product, joined)
    v.copy(total_shift, to=coefficient(Coefficient.TOTAL_SHIFT, channel, channels))
    v.to_fixed(
        product, total_shift, MULTIPLIER_BITS, to=coefficient(Coefficient.MULTIPLIER, channel, channels)
    )
    v.to_fixed(joined, total_shift, MULTIPLIER_BITS, to=coefficient(Coefficient.SECOND, channel, channels))
    return v.scale(v.copy(number(1.0), count=channels), unit)


def running(v: Vectors, old: Vector, new: Vector, rate: Vector) -> Vector:
    """A running average after one more value, in place."""
    return v.multiply_add(rate, v.subtract(new, old), old, to=old)
