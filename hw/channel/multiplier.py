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
    settled,
    twins,
)

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
    `latency_cycles` to ``done``; `exact_cycles` to ``exact_done``, and `CROSS_STEPS` - 1 more for a
    difference.
    """

    latency_cycles = 7 + SETTLED_CYCLES
    exact_cycles = 7

    def __init__(self):
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
        is_float = Signal(reset_less=True)
        m.d.sync += is_float.eq(self.kind == Products.FLOAT)
        product_shape = signed(INTEGER.width + FACTOR_BITS)
        of_floats = twins(m, self.kind == Products.FLOAT, product_shape.width, "of_floats")

        # 1: what this cycle multiplies. The steps of a difference follow its first one.
        step, more = Signal(range(CROSS_STEPS)), Signal(CROSS_STEPS - 1)
        crosses = Signal()
        m.d.comb += crosses.eq(self.valid & (self.kind == Products.CROSS))
        m.d.sync += [more.eq(Cat(crosses, more)), step.eq(Mux(crosses, 1, step + 1))]
        now = Signal(range(CROSS_STEPS))
        m.d.comb += now.eq(Mux(self.valid, 0, step))
        wide = Signal(INTEGER, reset_less=True)
        factor, high_factor = (
            Signal(signed(FACTOR_BITS), name=name, reset_less=True) for name in ("factor", "high_factor")
        )
        taken, high_digit, minus = (Signal(name=name) for name in ("taken", "high_digit", "minus"))
        first, last = Signal(), Signal()
        a, b = Signal(FLOAT), Signal(FLOAT)
        m.d.comb += [a.eq(self.a[: FLOAT.size]), b.eq(self.b[: FLOAT.size])]
        m.d.sync += [
            taken.eq(self.valid | more.any()),
            first.eq(self.valid),
            last.eq(more[-1] | (self.valid & (self.kind == Products.INTEGER))),
            high_digit.eq((self.kind == Products.CROSS) & now[0]),
            minus.eq((self.kind == Products.CROSS) & now[1]),
            wide.eq(self.a),
        ]
        with m.Switch(self.kind):
            with m.Case(Products.FLOAT):
                m.d.sync += [
                    wide.eq(Cat(mantissa(a), mantissa(a))),
                    factor.eq(b.fraction[:DIGIT_BITS]),
                    high_factor.eq(mantissa(b)[DIGIT_BITS:]),
                ]
            with m.Case(Products.INTEGER):
                m.d.sync += [factor.eq(self.b), high_factor.eq(self.b)]
            with m.Default():
                digits = {
                    0: self.constant[:DIGIT_BITS],
                    1: self.constant[DIGIT_BITS:].as_signed(),
                    2: self.c[:DIGIT_BITS],
                    3: self.c[DIGIT_BITS:CROSS_BITS].as_signed(),
                }
                with m.Switch(now):
                    for number, digit in digits.items():
                        with m.Case(number):
                            m.d.sync += [factor.eq(digit), high_factor.eq(digit)]
                with m.If(now[1]):
                    m.d.sync += wide.eq(self.b)

        # 2, 3, 4: registers of two DSP slices.
        low = self._slice(m, "low", wide[:_LOW_BITS], factor)
        high_wide = Mux(is_float, wide[_LOW_BITS:], wide[_LOW_BITS:].as_signed())
        high = self._slice(m, "high", high_wide, high_factor)

        # 5: both together.
        product = Signal(product_shape, reset_less=True)
        placed = chosen(m, of_floats, high << DIGIT_BITS, high << _LOW_BITS, product_shape)
        m.d.sync += product.eq(low + placed)
        self._round(m, a, b, is_float, product)

        # 6, 7: products added up; -p is ~p and 1.
        high_digits, minuses = (
            twins(m, late(m, value, 3, name), EXACT.width, name)
            for value, name in ((high_digit, "high_digit"), (minus, "minus"))
        )
        turned, added = Signal(EXACT, reset_less=True), Signal(EXACT)
        begins = twins(m, late(m, first, 4, "first"), EXACT.width, "begins")
        plus = late(m, minus, 5, "plus")
        m.d.sync += turned.eq(
            inverted(m, minuses, chosen(m, high_digits, product << DIGIT_BITS, product, EXACT))
        )
        m.d.comb += added.eq((Cat(1, chosen(m, begins, 0, self.exact, EXACT)) + Cat(plus, turned))[1:])
        m.d.sync += [
            self.exact.eq(added),
            self.exact_done.eq(late(m, taken & last, 5, "ends", reset_less=False)),
        ]
        return m

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

    def _round(self, m: Module, a, b, is_float, product) -> None:
        """The float32 of a product of mantissas: 47 or 48 bits."""
        exponent = Signal(EXPONENT, reset_less=True)
        negative, zero = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            exponent.eq(a.exponent + b.exponent),
            negative.eq(a.negative ^ b.negative),
            zero.eq((a.exponent == 0) | (b.exponent == 0)),
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
            late(m, zero, 6, "zero"),
        )
        done = late(m, self.valid & is_float, self.latency_cycles, "float_done", reset_less=False)
        m.d.comb += [self.result.eq(result), self.overflow.eq(over), self.done.eq(done)]
