"""Reciprocals and reciprocal roots, digit by digit."""

from amaranth import Cat, Module, Mux, Signal, signed
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
    chosen,
    late,
    mantissa,
    settled,
)
from cpt.hw.matrix.copies import KEEP, copies

DIGITS = MANTISSA_BITS + 1
"""Of a quotient or root beside its first; the remainder's sign decides the last bit."""
_REST = signed(2 * DIGITS + 5)
_TRIPLE_BITS = DIGITS + 2
_STARTS = 6
"""Copies of a start."""
_COPIES = {"rest": 2, "plus": 4, "minus": 4, "digit": 1}
"""Of the sign of what is left, by what it decides about."""


class _Digits(wiring.Component):
    """One quotient or root at a time. Digits are +1 and -1, a cycle each, without a digit tried in vain.

    Of the mantissa N (24 bits; 25 of a root whose exponent is odd) the number Q grows by ``Q = 2Q + s``,
    s the sign of what is left, R: ``2^23 * 4^k - Q*Q*N`` of a root, ``2^k * (2^23 * 2^k - Q*N)`` of a
    quotient, so that both grow fourfold. What the next digit takes from it is kept for both signs:
    ``4QN + N`` and ``4QN - N`` of a root, ``2^(k+1) * N`` of a quotient. So R is one sum away, and so is each
    of these: twice the last one taken, and of a root 1 or 3 N more or less.

    Members: ``start``, as so many copies; ``mantissa``; ``once``, ``thrice``: N and 3 N of a root, else 0;
    ``rounded``, from `latency_cycles` after ``start`` on. It may start again after one cycle less.
    """

    latency_cycles = DIGITS + 3

    def __init__(self):
        super().__init__(
            {
                "start": In(_STARTS),
                "mantissa": In(DIGITS),
                "once": In(DIGITS),
                "thrice": In(_TRIPLE_BITS),
                "rounded": Out(MANTISSA_BITS + 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rest, plus, minus = (Signal(_REST, name=name, reset_less=True) for name in ("rest", "plus", "minus"))
        """What is left; what is taken from it where it is not below 0; what is added where it is."""
        once = Signal(DIGITS, reset_less=True)
        thrice = Signal(_TRIPLE_BITS, reset_less=True)
        found = Signal(DIGITS, reset_less=True)
        below = {
            name: [Signal(name=f"below_{name}_{n}", reset_less=True, attrs=KEEP) for n in range(count)]
            for name, count in _COPIES.items()
        }
        (digit,) = below["digit"]
        next_rest, next_plus, next_minus = (
            Signal(_REST, name=name) for name in ("next_rest", "next_plus", "next_minus")
        )

        def added(first, second, carry):
            return (Cat(1, first) + Cat(carry, second))[1:]

        taken = chosen(m, below["rest"], minus, ~plus, _REST)
        m.d.comb += next_rest.eq(added(rest << 2, taken, ~below["rest"][0]))
        for kind, grown, more, less in (
            ("plus", next_plus, thrice, once),
            ("minus", next_minus, once, thrice),
        ):
            flags = below[kind]
            last, by = (
                chosen(m, flags, minus, plus, _REST),
                chosen(m, flags, ~Cat(less, 0).as_signed(), more, _REST),
            )
            m.d.comb += grown.eq(added(last << 1, by, flags[0]))
        low = slice(0, DIGITS)
        m.d.sync += [
            rest.eq(Mux(self.start[0], 1 << (FRACTION_BITS - 2), next_rest)),
            plus[low].eq(Mux(self.start[1], self.mantissa, next_plus[low])),
            plus[DIGITS:].eq(Mux(self.start[2], 0, next_plus[DIGITS:])),
            minus.eq(next_minus),
            *(copy.eq(next_rest[-1] & ~self.start[3]) for flags in below.values() for copy in flags),
            found.eq(Cat(~digit, found)),
            # Half of Q are its digits but the first, -1 as 0; one more unless what is left is below 0.
            self.rounded.eq(found + ~digit),
        ]
        with m.If(self.start[4]):
            m.d.sync += once.eq(self.once)
        with m.If(self.start[5]):
            m.d.sync += thrice.eq(self.thrice)
        return m


class Roots(wiring.Component):
    """``fl(1 / x)`` and ``fl(1 / sqrt(x))``: `float_unit.reciprocal`, `float_unit.reciprocal_root`.

    Parameters: ``units`` that work at once.
    Members: ``valid``, ``x`` (float32), ``root``; ``used``: the result is 0 else; ``done``, ``result``,
    ``overflow``.
    One every `interval_cycles`, `latency_cycles` later. Of x <= 0 a root is not said.
    """

    latency_cycles = 1 + _Digits.latency_cycles + 1 + SETTLED_CYCLES

    def __init__(self, units: int):
        self.units = units
        self.interval_cycles = -(-(_Digits.latency_cycles - 1) // units)
        super().__init__(
            {
                "valid": In(1),
                "x": In(FLOAT),
                "root": In(1),
                "used": In(1, init=1),
                "done": Out(1),
                "result": Out(FLOAT),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        odd = self.x.exponent[0]
        number = Signal(DIGITS)
        held, once, thrice = (
            Signal(bits, name=name, reset_less=True)
            for name, bits in (("held", DIGITS), ("once", DIGITS), ("thrice", _TRIPLE_BITS))
        )
        power, of_root = (Signal(EXPONENT, name=name, reset_less=True) for name in ("power", "of_root"))
        exponent = late(m, self.x.exponent, 1, "exponent")
        full = mantissa(self.x)
        m.d.comb += number.eq(Mux(self.root & ~odd, full << 1, full))
        m.d.sync += [
            held.eq(number),
            once.eq(Mux(self.root, number, 0)),
            thrice.eq(Mux(self.root, number + (number << 1), 0)),
            # BIAS - 1 less half the exponent without its bias, that rounded down.
            of_root.eq((self.x.exponent + 1) >> 1),
            power.eq(Mux(self.root, (3 * BIAS - 1) // 2 - of_root, 2 * BIAS - 1 - exponent)),
        ]
        zero = late(m, self.x.exponent == 0, 1, "zero")
        with m.If(zero):
            m.d.sync += power.eq(NOT_FINITE)
        # Units take turns; each is done before it is its turn again.
        turn = Signal(self.units, init=1)
        with m.If(self.valid):
            m.d.sync += turn.eq(turn.rotate_left(1))
        cycles = _Digits.latency_cycles
        whose = late(m, turn, cycles + 1, "chosen")
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        found = 0
        for index in range(self.units):
            digits = _Digits()
            m.submodules[f"digits_{index}"] = digits
            starts = copies(m, self.valid & turn[index], _STARTS, f"starts_{index}", reset_less=False)
            m.d.comb += [
                digits.start.eq(Cat(starts)),
                digits.mantissa.eq(held),
                digits.once.eq(once),
                digits.thrice.eq(thrice),
            ]
            found = found | Mux(whose[index], digits.rounded, 0)
        m.d.sync += rounded.eq(found)
        negative = late(m, self.x.negative & ~self.root, cycles + 2, "negative")
        result, over = settled(m, negative, late(m, power, cycles, "power"), rounded, ~self.used)
        done = late(m, self.valid, self.latency_cycles, "done", reset_less=False)
        m.d.comb += [self.result.eq(result), self.overflow.eq(over), self.done.eq(done)]
        return m
