"""float32 to fixed point."""

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.multiplier import FACTOR_BITS
from cpt.hw.channel.number import (
    BIAS,
    FLOAT,
    FRACTION_BITS,
    INTEGER,
    MANTISSA_BITS,
    chosen,
    late,
    mantissa,
    negated,
    parts,
    twins,
)

WIDTH_BITS = 6
"""Of the number of bits that results are cut at."""
CENTRE = 9
"""`centred` adds 2^(b - 9)."""
_PLACES = INTEGER.width
_FAR = _PLACES + 2
"""From here to the right nothing is left, not even a half."""


class Fixed(wiring.Component):
    """``rint(a * 2^b)``, halves to even, cut at +-2^(width-1), at +-131,071 with 18 bits; TO_FIXED.

    Members: ``valid``, ``a`` (float32), ``b``; ``width``, ``centred``: ``2^(b-9)`` is added, of a b of
    9 .. 56; ``used``: the result is 0 else, `settling_cycles` later; these stay while anything is under way;
    ``done``, ``result``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 10
    settling_cycles = 4

    def __init__(self):
        super().__init__(
            {
                "valid": In(1),
                "a": In(FLOAT),
                "b": In(signed(32)),
                "width": In(WIDTH_BITS),
                "centred": In(1),
                "used": In(1, init=1),
                "done": Out(1),
                "result": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # What a result may be, from the width.
        bits = Signal(WIDTH_BITS, reset_less=True)
        most = Signal(_PLACES, reset_less=True)
        one = self._power(m, bits, "one")
        m.d.sync += [
            bits.eq(self.width - 1),
            most.eq(one),
        ]
        with m.If(bits == FACTOR_BITS - 1):
            m.d.sync += most.eq((1 << FACTOR_BITS - 1) - 1)

        # 1, 2: places to the right of where a mantissa at the left of 48 bits ends.
        place = Signal(signed(34), reset_less=True)
        a = Signal(FLOAT, reset_less=True)
        zero, beyond, gone, far, low_beyond, low_gone = (
            Signal(name=name, reset_less=True)
            for name in ("zero", "beyond", "gone", "far", "low_beyond", "low_gone")
        )
        right = Signal(6)
        negative = late(m, place[-1], 1, "place_negative")
        top = BIAS + FRACTION_BITS + _PLACES - MANTISSA_BITS
        m.d.sync += [
            a.eq(self.a),
            place.eq(self.a.exponent + self.b),
            zero.eq(a.exponent == 0),
            far.eq(place[8:-1].any()),
            low_beyond.eq(place[:8] > top),
            low_gone.eq(place[:8] <= top - _FAR),
            beyond.eq(~negative & (far | low_beyond)),
            gone.eq(negative | (~far & low_gone)),
        ]
        m.d.comb += right.eq(top - place[:6])
        assert top < 1 << 8

        # 3, 4, 5: to the right, by 16s, by 4s, by 1s; what leaves is known as one bit in the end.
        value, lost = (
            Cat(Const(0, 2 + _PLACES - MANTISSA_BITS), late(m, mantissa(a), 1, "mantissa")),
            Const(0, 1),
        )
        for cycles, (unit, part) in enumerate(((16, right[4:]), (4, right[2:4]), (1, right[:2]))):
            amount = late(m, part, cycles, f"by_{unit}")
            amounts = twins(m, amount, len(value), f"amount_{unit}", 2)
            moved = Signal(len(value), name=f"moved_{unit}", reset_less=True)
            for by, bits in parts(amounts, len(value)):
                with m.Switch(by):
                    for n in range(4):
                        with m.Case(n):
                            m.d.sync += moved[bits].eq((value >> unit * n)[bits])
            gone_in = Signal(3, name=f"gone_in_{unit}", reset_less=True)
            m.d.sync += gone_in.eq(Cat(value[unit * n :][:unit].any() for n in range(3)))
            by = late(m, late(m, amount, 1, f"amount_{unit}"), 1, f"amount_{unit}_too")
            found = Cat(gone_in[n] & (by > n) for n in range(3)).any()
            value, lost = moved, found | (late(m, lost, 1, f"lost_before_{unit}") if cycles else 0)

        # 6: rounded; 7, 8: cut; 9: its sign; 10: the centre.
        whole = Signal(_PLACES + 1, reset_less=True)
        nothing = late(m, late(m, zero, 1, "zero") | gone, 2, "nothing")
        m.d.sync += whole.eq(value[2:] + (value[1] & (value[0] | lost | value[2])))
        held = late(m, whole, 1, "whole")
        cut = Signal(_PLACES, reset_less=True)
        overs = twins(m, (whole > most) | late(m, beyond, 3, "beyond"), _PLACES, "over")
        nones = twins(m, late(m, nothing, 1, "none") | ~self.used, _PLACES, "nothing")
        m.d.sync += cut.eq(chosen(m, nones, 0, chosen(m, overs, most, held, _PLACES), _PLACES))
        minuses = twins(m, late(m, a.negative, 6, "negative"), _PLACES, "minus")
        with_sign = Signal(INTEGER, reset_less=True)
        place_of_centre = Signal(6, reset_less=True)
        centre = self._power(
            m, late(m, place_of_centre, 6, "place_of_centre"), "centre", self.centred & self.used
        )
        m.d.sync += [
            place_of_centre.eq(self.b - CENTRE),
            with_sign.eq(negated(m, minuses, cut)),
            self.result.eq(with_sign + centre),
        ]
        return m

    @staticmethod
    def _power(m: Module, place, name: str, wanted=1) -> Signal:
        """``2^place`` where it is ``wanted``, else 0; two cycles later, from 8 rows and columns."""
        rows, columns = (Signal(8, name=f"{name}_{kind}", reset_less=True) for kind in ("rows", "columns"))
        found = Signal(_PLACES, name=f"{name}_power", reset_less=True)
        m.d.sync += [
            rows.eq(Cat((place[3:] == n) & wanted for n in range(8))),
            columns.eq(Cat(place[:3] == n for n in range(8))),
            found.eq(Cat(rows[n >> 3] & columns[n & 7] for n in range(_PLACES))),
        ]
        return found
