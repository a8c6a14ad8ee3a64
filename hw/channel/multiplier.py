"""Multiplies: float32, and integers exactly, with the same two DSP slices."""

import enum

from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import (
    BIAS,
    EXPONENT,
    FLOAT,
    FRACTION_BITS,
    INTEGER,
    MANTISSA_BITS,
    SETTLED_CYCLES,
    chosen,
    inverted,
    late,
    mantissa,
    parts,
    settled,
    twins,
)
from cpt.hw.matrix.copies import KEEP, copies

FACTOR_BITS = 18
"""Of b, where a product of two integers is taken: port B of a DSP slice."""
DIGIT_BITS = FACTOR_BITS - 1
"""Bits of a factor that a step of `Products.CROSS` takes, the last step's sign not counted."""
CROSS_BITS = DIGIT_BITS + FACTOR_BITS
"""Of c, where products are subtracted."""
CROSS_STEPS = 4
EXACT = signed(84)
"""What an exact product or difference of products is held in."""
_LOW_BITS = 24
"""Of a wide integer: port A of a DSP slice, without a sign."""


class Products(enum.IntEnum):
    """What a multiplier forms."""

    FLOAT = 0
    INTEGER = 1
    CROSS = 2


class Multiplier(wiring.Component):
    """``fl(a * b)`` of floats; exactly ``a * b`` or ``constant * a - b * c`` of integers.

    Integers: a has 48 bits; b has `FACTOR_BITS` in a product, 48 in a difference; c has `CROSS_BITS`,
    ``constant`` 32. All are signed.
    Members: ``kind`` (`Products`), which stays while anything is under way; ``valid``, ``a``, ``b``, ``c``,
    ``constant``; ``done``, ``result`` (float32), ``overflow``; ``exact_done``, ``exact``.
    A product a cycle, a difference every `CROSS_STEPS` cycles; until then its operands must stay.
    Parameters: ``crosses``: it forms differences.
    `latency_cycles` to ``done``; `exact_cycles` to ``exact_done``, and `CROSS_STEPS` - 1 more for a
    difference.
    """

    latency_cycles = 7 + SETTLED_CYCLES
    exact_cycles = 7

    def __init__(self, *, crosses: bool = True):
        self.crosses = crosses
        super().__init__(
            {
                "kind": In(Products),
                "valid": In(1),
                "a": In(INTEGER),
                "b": In(INTEGER),
                "c": In(INTEGER),
                "constant": In(signed(32)),
                "done": Out(1),
                "result": Out(FLOAT),
                "overflow": Out(1),
                "exact_done": Out(1),
                "exact": Out(EXACT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        is_float, is_integer, is_cross = (self.kind == kind for kind in Products)
        product_shape = signed(INTEGER.width + FACTOR_BITS)
        of_floats = twins(m, is_float, product_shape.width, "of_floats")
        a = Signal(FLOAT)
        b = Signal(FLOAT)
        m.d.comb += [a.eq(self.a[: FLOAT.size]), b.eq(self.b[: FLOAT.size])]

        # 1: what this cycle multiplies. The steps of a difference follow its first one.
        step = Signal(range(CROSS_STEPS))
        next_step = Signal(range(CROSS_STEPS))
        crosses = Signal()
        left = Signal(INTEGER)
        digit = Signal(signed(FACTOR_BITS))
        right, high_right = (Signal(signed(FACTOR_BITS), name=name) for name in ("right", "high_right"))
        whole_b = self.b[:FACTOR_BITS].as_signed()
        m.d.comb += [left.eq(self.a), right.eq(whole_b), high_right.eq(whole_b)]
        if self.crosses:
            m.d.comb += [
                crosses.eq(self.valid & is_cross),
                next_step.eq(Mux(crosses | step.any(), step + 1, 0)),
            ]
            m.d.sync += step.eq(next_step)
            digits = (
                self.constant[:DIGIT_BITS],
                self.constant[DIGIT_BITS:].as_signed(),
                self.c[:DIGIT_BITS],
                self.c[DIGIT_BITS:CROSS_BITS].as_signed(),
            )
            with m.Switch(step):
                for number, each in enumerate(digits):
                    with m.Case(number):
                        m.d.comb += digit.eq(each)
            subtracts = twins(m, next_step[1], INTEGER.width, "subtracts")
            of_digits = copies(m, is_cross, 2, "of_digits")
            m.d.comb += [
                left.eq(chosen(m, subtracts, self.b, self.a, INTEGER)),
                right.eq(Mux(of_digits[0], digit, whole_b)),
                high_right.eq(Mux(of_digits[1], digit, whole_b)),
            ]
        # Registers of their own, so that nothing but these stands before the slices.
        low_wide = Signal(_LOW_BITS, reset_less=True, attrs=KEEP)
        high_wide = Signal(signed(INTEGER.width - _LOW_BITS + 1), reset_less=True, attrs=KEEP)
        factor, high_factor = (
            Signal(signed(FACTOR_BITS), name=name, reset_less=True, attrs=KEEP)
            for name in ("factor", "high_factor")
        )
        floats = copies(m, is_float, 4, "floats")
        m.d.sync += [
            low_wide.eq(Mux(floats[0], mantissa(a), left[:_LOW_BITS])),
            high_wide.eq(Mux(floats[1], mantissa(a), left[_LOW_BITS:].as_signed())),
            factor.eq(Mux(floats[2], b.fraction[:DIGIT_BITS], right)),
            high_factor.eq(Mux(floats[3], mantissa(b)[DIGIT_BITS:], high_right)),
        ]

        # 2, 3, 4: registers of two DSP slices.
        low = self._slice(m, "low", low_wide, factor)
        high = self._slice(m, "high", high_wide, high_factor)
        # The sign of the lower one, which many bits need.
        below = Signal(reset_less=True)
        nonzero = Signal(reset_less=True)
        m.d.sync += [below.eq(factor[-1]), nonzero.eq(low_wide.any())]
        extended = product_shape.width - len(low)
        signs = twins(m, late(m, below & nonzero, 1, "low_sign"), extended, "low_signs", 2)
        upper = Signal(extended)
        for sign, part in parts(signs, extended):
            m.d.comb += upper[part].eq(sign.replicate(part.stop - part.start))

        # 5: both together.
        product = Signal(product_shape, reset_less=True)
        placed = chosen(m, of_floats, high << DIGIT_BITS, high << _LOW_BITS, product_shape)
        m.d.sync += product.eq(placed + Cat(low, upper).as_signed())
        self._round(m, a, b, product)

        # 6, 7: products added up.
        whole = late(m, self.valid & is_integer, self.exact_cycles - 1, "whole", reset_less=False)
        if self.crosses:
            self._add_up(m, product, crosses, step, whole)
        else:
            m.d.comb += [
                self.exact.eq(late(m, product, 2, "exact_product")),
                self.exact_done.eq(late(m, whole, 1, "exact_done", reset_less=False)),
            ]
        return m

    def _add_up(self, m: Module, product, crosses, step, whole) -> None:
        """Products of a difference, or one of its own; -p is ~p and 1."""
        high_digit = Signal()
        minus = Signal()
        last = Signal()
        m.d.comb += [high_digit.eq(step[0]), minus.eq(step[1]), last.eq(step == CROSS_STEPS - 1)]
        high_digits, minuses = (
            twins(m, late(m, value, 4, name), EXACT.width, f"{name}s")
            for name, value in (("high_digit", high_digit), ("minus", minus))
        )
        turned = Signal(EXACT, reset_less=True)
        added = Signal(EXACT)
        begins = twins(m, late(m, self.valid, 5, "first"), EXACT.width, "begins", 2)
        plus = late(m, minus, 6, "plus")
        shifted = chosen(m, high_digits, product << DIGIT_BITS, product, EXACT)
        m.d.sync += turned.eq(inverted(m, minuses, shifted))
        m.d.comb += added.eq((Cat(1, chosen(m, begins, 0, self.exact, EXACT)) + Cat(plus, turned))[1:])
        m.d.sync += [
            self.exact.eq(added),
            self.exact_done.eq(late(m, last, self.exact_cycles - 1, "ends", reset_less=False) | whole),
        ]

    @staticmethod
    def _slice(m: Module, name: str, left, right) -> Signal:
        """A product, three cycles later: registers of operands, product and sum."""
        one, other = (
            Signal(Shape.cast(value.shape()), name=f"{name}_{side}", reset_less=True)
            for side, value in (("left", left), ("right", right))
        )
        multiplied = Signal((one * other).shape(), name=f"{name}_multiplied", reset_less=True)
        product = Signal(multiplied.shape(), name=f"{name}_product", reset_less=True)
        m.d.sync += [one.eq(left), other.eq(right), multiplied.eq(one * other), product.eq(multiplied)]
        return product

    def _round(self, m: Module, a, b, product) -> None:
        """The float32 of a product of mantissas: 47 or 48 bits."""
        exponent = Signal(EXPONENT, reset_less=True)
        negative = Signal(reset_less=True)
        zeros = Signal(2, reset_less=True)
        m.d.sync += [
            exponent.eq(a.exponent + b.exponent),
            negative.eq(a.negative ^ b.negative),
            zeros.eq(Cat(a.exponent == 0, b.exponent == 0)),
        ]
        # 6: its first bit, and whether what follows 25 of them is 0.
        normal = Signal(MANTISSA_BITS + 1, reset_less=True)
        rest = Signal(reset_less=True)
        unbiased, power = (Signal(EXPONENT, name=name, reset_less=True) for name in ("unbiased", "power"))
        long = product[2 * MANTISSA_BITS - 1]
        m.d.sync += [
            normal.eq(Mux(long, product[FRACTION_BITS : 2 * MANTISSA_BITS], product[FRACTION_BITS - 1 :])),
            rest.eq(product[: FRACTION_BITS - 1].any() | (long & product[FRACTION_BITS - 1])),
            unbiased.eq(late(m, exponent, 3, "exponent") - BIAS),
            power.eq(unbiased + long),
        ]
        # 7: rounded.
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        m.d.sync += rounded.eq(normal[1:] + (normal[0] & (rest | normal[1])))
        result, over = settled(
            m,
            late(m, negative, 6, "negative"),
            late(m, power, 1, "power"),
            rounded,
            late(m, late(m, zeros.any(), 1, "zero_first"), 5, "zero"),
        )
        valid = self.valid & (self.kind == Products.FLOAT)
        done = late(m, valid, self.latency_cycles, "float_done", reset_less=False)
        m.d.comb += [self.result.eq(result), self.overflow.eq(over), self.done.eq(done)]
