"""What only touches a float's exponent: SCALE, EXPONENT, POWER."""

import enum

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import BIAS, FLOAT, FRACTION_BITS, LEAST_EXPONENT, NOT_FINITE, late
from cpt.hw.vector.ports import NUMBER_BITS

HIGHEST_FRACTION = 0x7F_E000
"""Of 32752 = 2^15 - 2^4, the largest number of units of a power of two."""
OF_ZERO, POWER_OF_NONE = -126, -140
"""The exponent of 0; the power of what is not above 0."""


class Exponents(enum.IntEnum):
    """What is done."""

    SCALE = 0
    EXPONENT = 1
    POWER = 2


class ExponentUnit(wiring.Component):
    """``a * 2^b``, ``floor(log2 |a|)``, the smallest k with ``32752 * 2^k >= a``.

    `float_unit.scale`, `float_unit.exponent`, `channel.power_of_two`.
    Members: ``kind`` (`Exponents`), which stays while anything is under way; ``valid``, ``a`` (float32),
    ``b``; ``done``, ``result``: a float32 of SCALE, else a signed integer; ``overflow``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 2

    def __init__(self):
        super().__init__(
            {
                "kind": In(Exponents),
                "valid": In(1),
                "a": In(FLOAT),
                "b": In(signed(32)),
                "done": Out(1),
                "result": Out(signed(FLOAT.size)),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        a, scaled = Signal(FLOAT, reset_less=True), Signal(signed(34), reset_less=True)
        zero, above = Signal(reset_less=True), Signal(reset_less=True)
        field = Signal(9, reset_less=True)
        m.d.sync += [
            a.eq(self.a),
            scaled.eq(self.a.exponent + self.b),
            zero.eq(self.a.exponent == 0),
            above.eq(self.a.fraction > HIGHEST_FRACTION),
            field.eq(self.a.exponent),
        ]
        small, large = zero | (scaled < LEAST_EXPONENT), scaled >= NOT_FINITE
        number = Signal(FLOAT)
        m.d.comb += [
            number.fraction.eq(Mux(small | large, 0, a.fraction)),
            number.exponent.eq(Mux(small, 0, Mux(large, NOT_FINITE, scaled[:8]))),
            number.negative.eq(a.negative & ~small),
        ]
        m.d.sync += self.overflow.eq((self.kind == Exponents.SCALE) & large & ~zero)
        with m.Switch(self.kind):
            with m.Case(Exponents.SCALE):
                m.d.sync += self.result.eq(number.as_value())
            with m.Case(Exponents.EXPONENT):
                m.d.sync += self.result.eq(Mux(zero, OF_ZERO, field - BIAS))
            with m.Default():
                k = field - (BIAS + NUMBER_BITS - 2) + above
                m.d.sync += self.result.eq(Mux(zero | a.negative, POWER_OF_NONE, k))
        return m


assert HIGHEST_FRACTION < 1 << FRACTION_BITS
