"""Reciprocals and reciprocal roots, digit by digit."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import (
    BIAS,
    EXPONENT,
    FLOAT,
    FRACTION_BITS,
    MANTISSA_BITS,
    NOT_FINITE,
    SETTLED_CYCLES,
    late,
    mantissa,
    settled,
)
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

DIGITS = MANTISSA_BITS + 1
"""Of a quotient or root beside its first; the remainder's sign decides the last bit."""
_REST = signed(2 * DIGITS + 5)
_COPIES = -(-(_REST.width + 2 * DIGITS + MANTISSA_BITS) // MOST_LOADS)


class _Digits(wiring.Component):
    """One quotient or root at a time. Digits are +1 and -1, a cycle each, without a digit tried in vain.

    Of the mantissa N (24 bits; 25 of a root whose exponent is odd) the number Q grows by ``Q = 2Q + s``,
    s the sign of what is left: ``2^23 * 2^k - Q*N`` of a quotient, ``2^23 * 4^k - Q*Q*N`` of a root.

    Members: ``start``, ``root``, ``mantissa``; ``rounded``, from `latency_cycles` after ``start`` on.
    """

    latency_cycles = DIGITS + 2

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "root": In(1),
                "mantissa": In(DIGITS),
                "rounded": Out(MANTISSA_BITS + 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rest = Signal(_REST, reset_less=True)
        product = Signal(signed(_REST.width), reset_less=True)
        """4 Q N of a root, N of a quotient."""
        number, found = Signal(DIGITS, reset_less=True), Signal(DIGITS, reset_less=True)
        root = Signal(reset_less=True)
        minus = [Signal(name=f"minus_{n}", reset_less=True, attrs=KEEP) for n in range(_COPIES)]
        left, next_rest = Signal(_REST), Signal(_REST)
        first = Signal(signed(DIGITS + 1))
        m.d.comb += [
            first.eq((1 << FRACTION_BITS) - self.mantissa),
            left.eq(Mux(root, (rest << 2) - number, rest << 1)),
            next_rest.eq(Mux(minus[0], left + product, left - product)),
        ]
        grown = Signal(_REST)
        m.d.comb += grown.eq(Mux(minus[1], (product << 1) - (number << 2), (product << 1) + (number << 2)))
        with m.If(self.start):
            m.d.sync += [
                root.eq(self.root),
                number.eq(self.mantissa),
                product.eq(Mux(self.root, self.mantissa << 2, self.mantissa)),
                rest.eq(first),
                *(copy.eq(first[-1]) for copy in minus),
            ]
        with m.Else():
            m.d.sync += [
                product.eq(Mux(root, grown, product)),
                rest.eq(next_rest),
                found.eq(Cat(~minus[-1], found)),
                *(copy.eq(next_rest[-1]) for copy in minus),
            ]
        # Half of Q are its digits but the first, -1 as 0; one more unless what is left is below 0.
        m.d.sync += self.rounded.eq(found + ~minus[-1])
        return m


class Roots(wiring.Component):
    """``fl(1 / x)`` and ``fl(1 / sqrt(x))``: `float_unit.reciprocal`, `float_unit.reciprocal_root`.

    Parameters: ``units`` that work at once.
    Members: ``valid``, ``x`` (float32), ``root``; ``done``, ``result``, ``overflow``.
    One every `interval_cycles`, `latency_cycles` later. Of x <= 0 a root is not said.
    """

    latency_cycles = 1 + _Digits.latency_cycles + 1 + SETTLED_CYCLES

    def __init__(self, units: int):
        self.units = units
        self.interval_cycles = -(-(DIGITS + 1) // units)
        super().__init__(
            {
                "valid": In(1),
                "x": In(FLOAT),
                "root": In(1),
                "done": Out(1),
                "result": Out(FLOAT),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        odd, number = self.x.exponent[0], Signal(DIGITS, reset_less=True)
        root, valid = Signal(reset_less=True), Signal()
        power = Signal(EXPONENT, reset_less=True)
        full = mantissa(self.x)
        half = (self.x.exponent - BIAS) >> 1
        m.d.sync += [
            valid.eq(self.valid),
            root.eq(self.root),
            number.eq(Mux(self.root & ~odd, full << 1, full)),
            power.eq(Mux(self.root, (BIAS - 1) - half, 2 * BIAS - 1 - self.x.exponent)),
        ]
        with m.If(self.x.exponent == 0):
            m.d.sync += power.eq(NOT_FINITE)
        # Units take turns; each is done before it is its turn again.
        turn = Signal(self.units, init=1)
        with m.If(valid):
            m.d.sync += turn.eq(turn.rotate_left(1))
        cycles = _Digits.latency_cycles
        chosen = late(m, turn, cycles, "chosen")
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        found = 0
        for index in range(self.units):
            digits = _Digits()
            m.submodules[f"digits_{index}"] = digits
            m.d.comb += [
                digits.start.eq(valid & turn[index]),
                digits.root.eq(root),
                digits.mantissa.eq(number),
            ]
            found = found | Mux(chosen[index], digits.rounded, 0)
        m.d.sync += rounded.eq(found)
        negative = late(m, self.x.negative & ~self.root, cycles + 2, "negative")
        result, over = settled(m, negative, late(m, power, cycles + 1, "power"), rounded, Const(0, 1))
        done = late(m, self.valid, self.latency_cycles, "done", reset_less=False)
        m.d.comb += [self.result.eq(result), self.overflow.eq(over), self.done.eq(done)]
        return m
