"""The channel unit: from a channel's statistics to the coefficients of its applies and drains, in float32.

Every function is a short program over channels, made of the operations of `float_unit` in the order written;
sums and differences of statistics that would cancel are formed in integers first. Arguments and results per
channel are float32 (channels,), unless said otherwise. A unit is the real value of a tensor's integer 1.

Nothing here has state but the running averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT, MIDDLE, MOST_ADDEND, NOISE_BITS, Affine
from cpt.model.golden.fabric.checks import LANE_BITS
from cpt.model.golden.fabric.codes import WeightCodes, largest_activation, largest_error
from cpt.model.golden.fabric.drain import (
    MOST_SHIFT,
    BlockErrorCoefficients,
    ErrorStatistics,
    ForwardStatistics,
)

EPSILON = np.float32(1e-5)
"""Of batch norm, added to the variance."""
HIGHEST = np.float32(32752)
"""A bound is at most this many units of a power of two: 15 of 32,767 are left for rounding."""
FINEST, FINEST_ERROR, FINEST_STREAM = 16, 7, 2
"""A unit is at least 2^-16, 2^-7 (codes of errors) or 2^-2 (gradient of a block's input) of the units that
it is made from. Finer ones would gain nothing; so the multipliers from one to the other fit 18 bits, shifts
of noise are above 8, and two multipliers that share a shift in `drain.block_error_drain` err by 2 units."""
ACTIVATION_FLOOR = np.float32(2.0**-30)
ERROR_FLOOR = np.float32(2.0**-60)
"""Smallest units: below them everything is code 0."""
LEAST_STREAM, LEAST_GRADIENT = -45, -100
"""Smallest exponents of the units of the residual stream and of gradients."""
_MANTISSA = 15
"""The largest of a set of multipliers gets this many bits below its first."""


@dataclass(frozen=True)
class Norm:
    """Batch norm of one convolution as an affine of its y: ``factor*(y - mean) + beta``."""

    unit: np.ndarray
    """Of y."""
    mean: np.ndarray
    """Of y, in its units."""
    inverse: np.ndarray
    """``1 / sqrt(variance + eps)``, of real values."""
    factor: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class Side:
    """What joins a block's end: ``factor*(x - mean) + beta``, ``lowest`` to ``highest``."""

    factor: np.ndarray
    mean: np.ndarray
    beta: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray


# ------------------------------------------------------------------------------------------------ forward


def forward_unit(weights: WeightCodes, shift: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Unit of a drain's results: ``fl(scale*unit) * 2^(h - (17-b))``; ``unit`` of the column, ``shift`` h."""
    return fl.scale(fl.multiply(weights.scale, unit), shift - weights.fraction_bits)


def variance(statistics: ForwardStatistics) -> np.ndarray:
    """Biased variance of y in its units: ``n*sum(y^2) - sum(y)^2``, 66 bits, then twice times ``fl(1/n)``."""
    exact = statistics.count * statistics.squares.astype(object) - statistics.total.astype(object) ** 2
    share = fl.fraction(statistics.count)
    return fl.multiply(fl.multiply(fl.from_integer(exact), share), share)


def batch_norm(
    statistics: ForwardStatistics, unit: np.ndarray, gamma: np.ndarray, beta: np.ndarray
) -> tuple[Norm, np.ndarray, np.ndarray]:
    """Coefficients of batch norm from a micro-batch, and its real mean and unbiased variance.

    ``m = S1*(1/n)``; ``v = (variance*u)*u``; ``i = 1/sqrt(v + eps)``; ``factor = (gamma*i)*u``. The real mean
    is ``m*u``, the unbiased variance ``v * fl(n/(n-1))`` (of one pixel, v).
    """
    count = statistics.count
    mean = fl.multiply(fl.from_integer(statistics.total), fl.fraction(count))
    spread = fl.multiply(fl.multiply(variance(statistics), unit), unit)
    inverse = fl.reciprocal_root(fl.add(spread, EPSILON))
    factor = fl.multiply(fl.multiply(gamma, inverse), unit)
    unbiased = fl.multiply(spread, np.float32(count / max(count - 1, 1)))
    return Norm(unit, mean, inverse, factor, beta), fl.multiply(mean, unit), unbiased


def running_norm(
    mean: np.ndarray, variance: np.ndarray, unit: np.ndarray, gamma: np.ndarray, beta: np.ndarray
) -> Norm:
    """Coefficients of batch norm in evaluation, from the running real ``mean`` and ``variance``.

    ``m = mean * (1/u)``; ``i = 1/sqrt(variance + eps)``; ``factor = (gamma*i)*u``.
    """
    inverse = fl.reciprocal_root(fl.add(variance, EPSILON))
    factor = fl.multiply(fl.multiply(gamma, inverse), unit)
    return Norm(unit, fl.multiply(mean, fl.reciprocal(unit)), inverse, factor, beta)


def highest_output(norm: Norm, statistics: ForwardStatistics) -> np.ndarray:
    """Largest value of batch norm's output, exact up to rounding: an affine has it at an extreme of y.

    ``max(factor*(highest - m), factor*(lowest - m)) + beta``.
    """
    return fl.add(np.maximum(*_ends(norm.factor, norm.mean, statistics)), norm.beta)


def lowest_output(norm: Norm, statistics: ForwardStatistics) -> np.ndarray:
    """Smallest value of batch norm's output, likewise."""
    return fl.add(np.minimum(*_ends(norm.factor, norm.mean, statistics)), norm.beta)


def inner_unit(norm: Norm, highest: np.ndarray, bits: int) -> np.ndarray:
    """Unit of the codes behind a ReLU: ``max(highest * fl(1/B), 2^-16 * max|factor|, 2^-30)``, a scalar.

    ``highest``: of all channels; in training the maximum of `highest_output`, in evaluation the running one.
    """
    least = np.maximum(fl.scale(_largest(norm.factor), -FINEST), ACTIVATION_FLOOR)
    return np.maximum(fl.multiply(highest, fl.fraction(largest_activation(bits))), least)


def inner_coefficients(norm: Norm, unit: np.ndarray) -> Affine:
    """Of `apply.inner_apply`, over ``unit`` (`inner_unit`) by its reciprocal r.

    Multiplier M of ``factor*r``; addend ``(beta*r)*2^s - M*m``: with the rounded M, so that its rounding
    error meets y's distance from the mean and not the mean.
    """
    inverse = fl.reciprocal(unit)
    factor = fl.multiply(norm.factor, inverse)
    shift = channel_shift(factor)
    multiplier = fl.to_multiplier(factor, shift)
    offset = fl.scale(fl.multiply(norm.beta, inverse), shift)
    return Affine(multiplier, _addend(_less_mean(offset, multiplier, norm.mean)), shift)


def stream_side(unit: int, highest: np.ndarray, lowest: np.ndarray, middle: int) -> Side:
    """The residual stream at a block's end: ``unit`` is its exponent of two, ``middle`` what stands for 0.

    ``highest``, ``lowest``: extremes of its integers less ``middle``, int64.
    """
    factor = fl.scale(np.ones(highest.shape, np.float32), unit)
    ends = [fl.scale(fl.from_integer(end), unit) for end in (highest, lowest)]
    return Side(factor, np.full_like(factor, middle), np.zeros_like(factor), ends[0], ends[1])


def shortcut_side(norm: Norm, statistics: ForwardStatistics) -> Side:
    """A shortcut's y at a block's end."""
    highest, lowest = highest_output(norm, statistics), lowest_output(norm, statistics)
    return Side(norm.factor, norm.mean, norm.beta, highest, lowest)


def block_bound(highest: np.ndarray, side: Side | None) -> np.ndarray:
    """What a block's output cannot exceed, a scalar: the largest channel of ``highest + side.highest``."""
    return np.max(highest if side is None else fl.add(highest, side.highest))


def linear_bound(highest: np.ndarray, lowest: np.ndarray, side: Side | None) -> np.ndarray:
    """Twice what the magnitude behind a linear end cannot exceed, a scalar: half its stream is below 0."""
    if side is not None:
        highest, lowest = fl.add(highest, side.highest), fl.add(lowest, side.lowest)
    return fl.scale(np.max(np.maximum(highest, fl.subtract(np.zeros_like(lowest), lowest))), 1)


def block_unit(bound: np.ndarray, norm: Norm, side: Side | None) -> int:
    """Unit of a block's output as an exponent k of two: the smallest with ``32752 * 2^k >= bound``.

    And at least 2^-16 of the largest factor, and 2^-45.
    """
    factors = _largest(norm.factor)
    if side is not None:
        factors = np.maximum(factors, _largest(side.factor))
    return int(np.maximum(power_of_two(bound), np.maximum(fl.exponent(factors) - FINEST, LEAST_STREAM)))


def block_coefficients(norm: Norm, side: Side | None, unit: int, middle: int = 0) -> Affine:
    """Of `apply.block_apply`: factors over ``2^unit``, which is exact, with one shift for both operands.

    Addend ``((beta + side.beta) * 2^(s-unit) - M*m) - M2*side.mean``, with the rounded multipliers, and
    ``+ middle * 2^s`` behind a linear end.
    """
    factor = fl.scale(norm.factor, -unit)
    if side is None:
        shift = channel_shift(factor)
        multiplier = fl.to_multiplier(factor, shift)
        offset = _less_mean(fl.scale(norm.beta, shift - unit), multiplier, norm.mean)
        return Affine(multiplier, _addend(_raised(offset, middle, shift)), shift)
    second_factor = fl.scale(side.factor, -unit)
    shift = channel_shift(factor, second_factor)
    multiplier, second = fl.to_multiplier(factor, shift), fl.to_multiplier(second_factor, shift)
    offset = _less_mean(fl.scale(fl.add(norm.beta, side.beta), shift - unit), multiplier, norm.mean)
    offset = _raised(_less_mean(offset, second, side.mean), middle, shift)
    return Affine(multiplier, _addend(offset), shift, second)


def stream_unit(highest: np.ndarray, bits: int) -> np.ndarray:
    """Unit of the codes of the residual stream: ``max(highest * fl(1/B), 2^-30)``, a scalar.

    ``highest``: the stream's largest real value, in training ``max x' * 2^unit``, in evaluation the running
    one.
    """
    return np.maximum(fl.multiply(highest, fl.fraction(largest_activation(bits))), ACTIVATION_FLOOR)


def code_coefficients(code_unit: np.ndarray, unit: int) -> tuple[int, int]:
    """Multiplier and shift of `apply.code_apply`: ``2^unit`` over ``code_unit`` (`stream_unit`)."""
    factor = fl.scale(fl.reciprocal(code_unit), unit)
    shift = int(channel_shift(factor))
    return int(fl.to_multiplier(factor, shift)), shift


def linear_unit(largest: np.ndarray, bits: int) -> np.ndarray:
    """`stream_unit` behind a linear end, whose codes are signed: of the ``largest`` magnitude, over E."""
    return np.maximum(fl.multiply(largest, fl.fraction(largest_error(bits))), ACTIVATION_FLOOR)


def linear_coefficients(code_unit: np.ndarray, unit: int, channels: int) -> Affine:
    """Of `apply.linear_apply`: those of `code_coefficients`, and the addend ``-M*MIDDLE``."""
    multiplier, shift = code_coefficients(code_unit, unit)
    each = np.full(channels, multiplier, np.int64)
    return Affine(each, -each * MIDDLE, np.full(channels, shift, np.int64))


def image_unit(
    lowest: np.ndarray, highest: np.ndarray, factor: np.ndarray, offset: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit of an image's codes and the largest standardised magnitude, scalars.

    ``lowest``, ``highest``: int64 (channels,), bytes of the micro-batch. ``factor``, ``offset``: the
    standardised value of byte p is ``factor*p + offset``. The unit is ``max(largest * fl(1/E), 2^-6 *
    max|factor|, 2^-30)``.
    """
    ends = [fl.multiply_add(factor, fl.from_integer(byte), offset) for byte in (lowest, highest)]
    largest = np.maximum(_largest(ends[0]), _largest(ends[1]))
    return image_unit_of(largest, factor, bits), largest


def image_unit_of(largest: np.ndarray, factor: np.ndarray, bits: int) -> np.ndarray:
    """Unit of an image's codes for a ``largest`` magnitude, in evaluation the running one."""
    least = np.maximum(fl.scale(_largest(factor), -FINEST), ACTIVATION_FLOOR)
    return np.maximum(fl.multiply(largest, fl.fraction(largest_error(bits))), least)


def image_coefficients(factor: np.ndarray, offset: np.ndarray, unit: np.ndarray) -> Affine:
    """Of `apply.image_apply`: as `inner_coefficients` with mean 0."""
    zero = np.zeros_like(factor)
    return inner_coefficients(Norm(zero, zero, zero, factor, offset), unit)


# ----------------------------------------------------------------------------------------------- backward


@dataclass(frozen=True)
class ErrorResult:
    """What the backward pass of one batch norm gives."""

    coefficients: Affine
    """Of `apply.error_apply`."""
    unit: np.ndarray
    """Of the error codes, a scalar."""
    d_gamma: np.ndarray
    d_beta: np.ndarray


def error_coefficients(
    norm: Norm,
    forward: ForwardStatistics,
    errors: ErrorStatistics,
    unit: np.ndarray,
    gamma: np.ndarray,
    bits: int,
) -> ErrorResult:
    """Batch norm's backward as one affine of d and y, its range from their extremes. ``unit``: of d.

    ``W = n*sum(d*y) - sum(y)*sum(d)`` exact (66 bits); ``k = u*i`` (unit of y, `Norm.inverse`); ``d_gamma =
    ((W*(1/n))*k)*unit``; ``d_beta = sum(d)*unit``; ``f = gamma*i``; ``md = sum(d)*(1/n)``; the affine is
    ``a*(d - md) + b*(y - m)`` with ``a = f*unit``, ``b = -((f*k) * (d_gamma*(1/n)))``. Per channel ``high =
    max(a*(dmax - md), a*(dmin - md)) + max(b*(ymax - m), b*(ymin - m))``, ``low`` with minima; the largest
    magnitude R of all channels bounds the affine. Unit of the codes: ``max(R * fl(1/E), 2^-7 * max(|a|, |b|),
    2^-60)``; there and in the coefficients a is 0 where all d of a channel are. With the rounded multipliers
    a and b the addend is ``-(a*md) - b*m``, to which 2^(s-9) centres the noise.
    """
    count, share = forward.count, fl.fraction(forward.count)
    joint = count * errors.with_y.astype(object) - forward.total.astype(object) * errors.total.astype(object)
    spread = fl.multiply(norm.unit, norm.inverse)
    d_gamma = fl.multiply(fl.multiply(fl.multiply(fl.from_integer(joint), share), spread), unit)
    total = fl.from_integer(errors.total)
    d_beta, d_mean = fl.multiply(total, unit), fl.multiply(total, share)
    real = fl.multiply(gamma, norm.inverse)
    a = np.where(errors.largest > 0, fl.multiply(real, unit), np.float32(0))
    b = fl.subtract(np.zeros_like(a), fl.multiply(fl.multiply(real, spread), fl.multiply(d_gamma, share)))
    of_d, of_y = _ends(a, d_mean, errors), _ends(b, norm.mean, forward)
    high = fl.add(np.maximum(*of_d), np.maximum(*of_y))
    low = fl.add(np.minimum(*of_d), np.minimum(*of_y))
    largest = np.max(np.maximum(high, -low))
    least = fl.scale(np.maximum(_largest(a), _largest(b)), -FINEST_ERROR)
    code_unit = np.maximum(fl.multiply(largest, fl.fraction(largest_error(bits))), least)
    code_unit = np.maximum(code_unit, ERROR_FLOOR)
    inverse = fl.reciprocal(code_unit)
    a, b = fl.multiply(a, inverse), fl.multiply(b, inverse)
    shift = np.maximum(channel_shift(a, b), LEAST_NOISE_SHIFT)
    of_d_codes, of_y_codes = fl.to_multiplier(a, shift), fl.to_multiplier(b, shift)
    offset = _less_mean(np.zeros_like(a), of_d_codes, d_mean)
    addend = _addend(_less_mean(offset, of_y_codes, norm.mean)) + (np.int64(1) << (shift - NOISE_BITS - 1))
    return ErrorResult(Affine(of_d_codes, addend, shift, of_y_codes), code_unit, d_gamma, d_beta)


def block_error_coefficients(
    weights: WeightCodes,
    bits: int,
    error_unit: np.ndarray,
    stream: ErrorStatistics | None,
    stream_unit: np.ndarray | None,
) -> tuple[BlockErrorCoefficients, np.ndarray]:
    """Of `drain.block_error_drain`, and the unit of its result, as float32 powers of two per channel.

    ``weights``: of dX; ``bits`` and ``error_unit``: of its error codes. ``stream``: statistics of the
    gradient that joins, with its unit per channel; None where none does. Per channel ``r =
    fl(scale*error_unit) * 2^(b-17)`` (unit of R) and ``bound = largest*stream_unit + fl(sums*E)*r``, of the
    *measured* largest magnitude. The unit is the smallest ``2^k`` with ``32752 * 2^k >= bound``, at least a
    quarter of the units it is made from, and 2^-100. What is 0 throughout has multiplier 0 and no say.
    """
    top = largest_error(bits)
    shift = weights.shifts(top)
    product_unit = fl.scale(fl.multiply(weights.scale, error_unit), -weights.fraction_bits)
    bound = fl.multiply(fl.from_integer(weights.sums * top), product_unit)
    drained_unit = np.where(weights.sums > 0, fl.scale(product_unit, shift), np.float32(0))
    joined_unit = np.zeros_like(drained_unit)
    if stream is not None and stream_unit is not None:
        joined_unit = np.where(stream.largest > 0, stream_unit, np.float32(0))
        bound = fl.multiply_add(fl.from_integer(stream.largest), joined_unit, bound)
    coarsest = fl.exponent(np.maximum(drained_unit, joined_unit)) - FINEST_STREAM
    unit = np.maximum(power_of_two(bound), np.maximum(coarsest, LEAST_GRADIENT))
    product, joined = fl.scale(drained_unit, -unit), fl.scale(joined_unit, -unit)
    total_shift = channel_shift(product, joined)
    coefficients = BlockErrorCoefficients(
        shift,
        fl.to_multiplier(product, total_shift),
        None if stream is None else fl.to_multiplier(joined, total_shift),
        total_shift,
    )
    return coefficients, fl.scale(np.ones(unit.shape, np.float32), unit)


def pool_gradient_codes(gradient: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of pooled means (N, C), float32, as what each of ``pixels`` gets: int16 codes and units (C,).

    ``p = gradient * fl(1/pixels)``; the unit is the smallest ``2^k`` with ``32752 * 2^k >= max|p|`` of the
    channel, at least 2^-100; codes ``rint(p / 2^k)``.
    """
    each = fl.multiply(gradient, fl.fraction(pixels))
    unit = np.maximum(power_of_two(np.abs(each).max(0)), LEAST_GRADIENT)
    codes = fl.to_fixed(each, -unit, LANE_BITS).astype(np.int16)
    return codes, fl.scale(np.ones(unit.shape, np.float32), unit)


# ------------------------------------------------------------------------------------------------- shared


def running_rate(micro_batches: int) -> np.float32:
    """``float32(1 - 0.9^(1/M))``: M updates move an average as far as one at rate 0.1 does."""
    with localcontext() as context:
        context.prec = 40
        return np.float32(float(1 - Decimal("0.9") ** (1 / Decimal(micro_batches))))


def running(old: np.ndarray, new: np.ndarray, rate: np.float32) -> np.ndarray:
    """A running average after one more value: ``fl(old + fl(rate * fl(new - old)))``."""
    return fl.multiply_add(rate, fl.subtract(new, old), old)


def power_of_two(bound: np.ndarray) -> np.ndarray:
    """Smallest k with ``32752 * 2^k >= bound``, int64; of 0 and below, -140."""
    bound = np.asarray(fl.operand(bound))
    k = fl.exponent(bound) - (LANE_BITS - 2)
    k = k + (bound.astype(np.float64) > np.ldexp(np.float64(HIGHEST), k.astype(np.int32)))
    return np.where(bound > 0, k, np.int64(-140))


def channel_shift(*factors: np.ndarray) -> np.ndarray:
    """``15 - floor(log2)`` of the larger of a channel's ``factors``, which gets 16 bits: int64, 0 .. 30."""
    largest = np.abs(factors[0])
    for factor in factors[1:]:
        largest = np.maximum(largest, np.abs(factor))
    return np.clip(_MANTISSA - fl.exponent(largest), 0, MOST_SHIFT)


def _ends(
    factor: np.ndarray, mean: np.ndarray, statistics: ForwardStatistics | ErrorStatistics
) -> list[np.ndarray]:
    """``factor*(v - mean)`` at a channel's lowest and highest value v."""
    values = (fl.from_integer(v) for v in (statistics.lowest, statistics.highest))
    return [fl.multiply(factor, fl.subtract(value, mean)) for value in values]


def _less_mean(offset: np.ndarray, multiplier: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """``fl(offset - fl(multiplier*mean))``: 18 bits are exact in float32."""
    return fl.subtract(offset, fl.multiply(multiplier.astype(np.float32), mean))


def _raised(offset: np.ndarray, middle: int, shift: np.ndarray) -> np.ndarray:
    """``fl(offset + middle * 2^shift)``, where there is a middle."""
    return fl.add(offset, fl.scale(np.full_like(offset, middle), shift)) if middle else offset


def _addend(offset: np.ndarray) -> np.ndarray:
    """``rint(offset)`` cut at +-2^46, int64: a channel so far from 0 stays on its side of it."""
    most = np.float32(MOST_ADDEND)
    return fl.to_fixed(np.clip(offset, -most, most), 0)


def _largest(values: np.ndarray) -> np.ndarray:
    """Largest magnitude, a scalar."""
    return np.max(np.abs(values))
