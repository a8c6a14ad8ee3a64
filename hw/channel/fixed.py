"""float32 to fixed point."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
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
    twins,
)
from cpt.hw.matrix.copies import MOST_LOADS

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
    9 .. 56; both stay while anything is under way; ``done``, ``result``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 10

    def __init__(self):
        super().__init__(
            {
                "valid": In(1),
                "a": In(FLOAT),
                "b": In(signed(32)),
                "width": In(WIDTH_BITS),
                "centred": In(1),
                "done": Out(1),
                "result": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # What a result may be, from the width.
        bits, one = Signal(WIDTH_BITS, reset_less=True), Signal(_PLACES, reset_less=True)
        most = Signal(_PLACES, reset_less=True)
        m.d.sync += [
            bits.eq(self.width),
            one.eq(Const(1, _PLACES) << (bits - 1).as_unsigned()[:WIDTH_BITS]),
            most.eq(one - (bits == FACTOR_BITS)),
        ]

        # 1, 2: places from the top, where a mantissa at the left of 48 bits begins.
        place, a = Signal(signed(34), reset_less=True), Signal(FLOAT, reset_less=True)
        zero, beyond, gone = (Signal(name=name, reset_less=True) for name in ("zero", "beyond", "gone"))
        right = Signal(6)
        top = BIAS + FRACTION_BITS + _PLACES - MANTISSA_BITS
        m.d.sync += [
            a.eq(self.a),
            place.eq(top - self.a.exponent - self.b),
            zero.eq(a.exponent == 0),
            beyond.eq(place < 0),
            gone.eq(place >= _FAR),
        ]
        m.d.comb += right.eq(place)

        # 3, 4, 5: to the right, by 16s, by 4s, by 1s; what leaves becomes one bit behind the half.
        value = Cat(Const(0, 2 + _PLACES - MANTISSA_BITS), late(m, mantissa(a), 1, "mantissa"))
        for cycles, (unit, part) in enumerate(((16, right[4:]), (4, right[2:4]), (1, right[:2]))):
            amounts = twins(m, late(m, part, cycles, f"by_{unit}"), len(value), f"amount_{unit}")
            moved = Signal(len(value), name=f"moved_{unit}", reset_less=True)
            ways = [value >> unit * n for n in range(4)]
            ways = [Cat(kept[0] | value[: unit * n].any(), kept[1:]) for n, kept in enumerate(ways)]
            for n, by in enumerate(amounts):
                part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
                with m.Switch(by):
                    for number, kept in enumerate(ways):
                        with m.Case(number):
                            m.d.sync += moved[part].eq(kept[part])
            value = moved

        # 6: rounded; 7, 8: cut; 9: its sign; 10: the centre.
        whole, nothing = Signal(_PLACES + 1, reset_less=True), late(m, zero | gone, 3, "nothing")
        m.d.sync += whole.eq(value[2:] + (value[1] & (value[0] | value[2])))
        held, cut = late(m, whole, 1, "whole"), Signal(_PLACES, reset_less=True)
        overs = twins(m, (whole > most) | late(m, beyond, 4, "beyond"), _PLACES, "over")
        nones = twins(m, late(m, nothing, 1, "none"), _PLACES, "nothing")
        m.d.sync += cut.eq(chosen(m, nones, 0, chosen(m, overs, most, held, _PLACES), _PLACES))
        minuses = twins(m, late(m, a.negative, 6, "negative"), _PLACES, "minus")
        with_sign, centre = Signal(INTEGER, reset_less=True), Signal(_PLACES, reset_less=True)
        shift = late(m, self.b, 8, "shift")
        m.d.sync += [
            with_sign.eq(negated(m, minuses, cut)),
            centre.eq(Mux(self.centred, Const(1, _PLACES) << (shift - CENTRE)[:6], 0)),
            self.result.eq(with_sign + centre),
        ]
        return m
