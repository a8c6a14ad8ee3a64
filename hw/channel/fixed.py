"""float32 to fixed point."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.multiplier import FACTOR_BITS
from cpt.hw.channel.number import BIAS, FLOAT, FRACTION_BITS, INTEGER, MANTISSA_BITS, late, mantissa

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
        right = Signal(6, reset_less=True)
        top = BIAS + FRACTION_BITS + _PLACES - MANTISSA_BITS
        m.d.sync += [
            a.eq(self.a),
            place.eq(top - self.a.exponent - self.b),
            zero.eq(a.exponent == 0),
            beyond.eq(place < 0),
            gone.eq(place >= _FAR),
            right.eq(place),
        ]

        # 3, 4, 5: to the right, by 16s, by 4s, by 1s; what leaves becomes one bit behind the half.
        value = Cat(Const(0, 2 + _PLACES - MANTISSA_BITS), late(m, mantissa(a), 1, "mantissa"))
        for cycles, (unit, part) in enumerate(((16, right[4:]), (4, right[2:4]), (1, right[:2]))):
            amount = late(m, part, cycles, f"by_{unit}")
            moved = Signal(len(value), name=f"moved_{unit}", reset_less=True)
            with m.Switch(amount):
                for n in range(4):
                    with m.Case(n):
                        kept = value >> unit * n
                        m.d.sync += moved.eq(Cat(kept[0] | value[: unit * n].any(), kept[1:]))
            value = moved

        # 6: rounded; 7, 8: cut; 9: its sign; 10: the centre.
        whole, nothing = Signal(_PLACES + 1, reset_less=True), late(m, zero | gone, 3, "nothing")
        m.d.sync += whole.eq(value[2:] + (value[1] & (value[0] | value[2])))
        over, held = Signal(reset_less=True), late(m, whole, 1, "whole")
        m.d.sync += over.eq(whole > most)
        none, cut = late(m, nothing, 2, "none"), Signal(_PLACES, reset_less=True)
        sure = late(m, beyond, 5, "beyond")
        m.d.sync += cut.eq(Mux(none, 0, Mux(over | sure, most, held)))
        with_sign, centre = Signal(INTEGER, reset_less=True), Signal(_PLACES, reset_less=True)
        shift = late(m, self.b, 8, "shift")
        m.d.sync += [
            with_sign.eq(Mux(late(m, a.negative, 7, "negative"), -cut, cut)),
            centre.eq(Mux(self.centred, Const(1, _PLACES) << (shift - CENTRE)[:6], 0)),
            self.result.eq(with_sign + centre),
        ]
        return m
