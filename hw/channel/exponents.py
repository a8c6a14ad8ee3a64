"""What only touches a float's exponent: SCALE, EXPONENT, POWER."""

import enum

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import BIAS, FLOAT, FRACTION_BITS, LEAST_EXPONENT, NOT_FINITE, late
from cpt.hw.vector.ports import NUMBER_BITS

HIGHEST_FRACTION = 0x7F_E000
"""Of 32752 = 2^15 - 2^4, the largest number of units of a power of two."""
_NEAR_BITS = 10
"""Of b, where an exponent may come out as one of a float."""
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
    ``b``; ``used``: the result is 0 else; ``done``, ``result``: a float32 of SCALE, else a signed integer;
    ``overflow``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 3

    def __init__(self):
        super().__init__(
            {
                "kind": In(Exponents),
                "valid": In(1),
                "a": In(FLOAT),
                "b": In(signed(32)),
                "used": In(1, init=1),
                "done": Out(1),
                "result": Out(signed(FLOAT.size)),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        a = Signal(FLOAT, reset_less=True)
        scaled = Signal(signed(_NEAR_BITS + 1), reset_less=True)
        some, whole, below = (Signal(name=name, reset_less=True) for name in ("some", "whole", "below"))
        """Of b's upper bits some are set, all are: where they differ, b is far from 0."""
        zero = Signal(reset_less=True)
        above = Signal(reset_less=True)
        field = Signal(9, reset_less=True)
        m.d.sync += [
            a.eq(self.a),
            scaled.eq(self.a.exponent + self.b[:_NEAR_BITS].as_signed()),
            some.eq(self.b[_NEAR_BITS - 1 :].any()),
            whole.eq(self.b[_NEAR_BITS - 1 :].all()),
            below.eq(self.b[-1]),
            zero.eq(self.a.exponent == 0),
            above.eq(self.a.fraction > HIGHEST_FRACTION),
            field.eq(self.a.exponent),
        ]
        # 2: whether the exponent is one of a float, as plain logic; what is no float.
        small, large, scales, nothing = (
            Signal(name=name, reset_less=True) for name in ("small", "large", "scales", "nothing")
        )
        held = late(m, a, 1, "held")
        exponent = late(m, scaled[:8], 1, "exponent")
        integer = Signal(signed(10), reset_less=True)
        of_exponent = Signal(reset_less=True)
        of_none = Signal(signed(10), reset_less=True)
        far = some & ~whole
        m.d.sync += [
            of_exponent.eq(self.kind == Exponents.EXPONENT),
            of_none.eq(Mux(self.used, Mux(of_exponent, OF_ZERO, POWER_OF_NONE), 0)),
            small.eq(zero | Mux(far, below, scaled[-1] | ~scaled[1:].any())),
            large.eq(~zero & Mux(far, ~below, ~scaled[-1] & (scaled[8:-1].any() | scaled[:8].all()))),
            scales.eq((self.kind == Exponents.SCALE) & self.used),
            nothing.eq(zero | (a.negative & ~of_exponent) | ~self.used),
            integer.eq(field + Mux(of_exponent, -BIAS, -(BIAS + NUMBER_BITS - 2)) + (above & ~of_exponent)),
        ]
        # 3
        scale = Signal(FLOAT)
        m.d.comb += [
            scale.fraction.eq(Mux(small | large, 0, held.fraction)),
            scale.exponent.eq(Mux(small, 0, Mux(large, NOT_FINITE, exponent))),
            scale.negative.eq(held.negative & ~small),
        ]
        m.d.sync += [
            self.overflow.eq(scales & large),
            self.result.eq(Mux(scales, scale.as_value().as_signed(), Mux(nothing, of_none, integer))),
        ]
        return m


assert HIGHEST_FRACTION < 1 << FRACTION_BITS
assert (LEAST_EXPONENT, NOT_FINITE) == (2, 255)
