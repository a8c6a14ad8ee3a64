"""Adds float32."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import (
    EXPONENT,
    FLOAT,
    FRACTION_BITS,
    MANTISSA_BITS,
    SETTLED_CYCLES,
    chosen,
    first_set,
    late,
    mantissa,
    parts,
    settled,
    twins,
)
from cpt.hw.matrix.copies import KEEP, copies

_SPARE = 3
"""Bits behind the mantissa while adding: two, and whether any beyond them is set."""
_SUM_BITS = MANTISSA_BITS + _SPARE + 1
assert _SUM_BITS == 28


class Adder(wiring.Component):
    """``fl(a + b)`` or ``fl(a - b)``, to nearest, halves to even: `float_unit.add`, `float_unit.subtract`.

    Members: ``valid``, ``a``, ``b`` (float32), ``subtract``, ``used``: the result is 0 else; ``done``,
    ``result``, ``overflow``: the result is infinite.
    A sum a cycle, `latency_cycles` later.
    """

    latency_cycles = 10 + SETTLED_CYCLES

    def __init__(self):
        super().__init__(
            {
                "valid": In(1),
                "a": In(FLOAT),
                "b": In(FLOAT),
                "subtract": In(1),
                "used": In(1, init=1),
                "done": Out(1),
                "result": Out(FLOAT),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))

        # 1: which magnitude is larger, and how far apart they are.
        a, b = (Signal(FLOAT, name=name, reset_less=True) for name in "ab")
        counts = {
            name: [Signal(name=f"{name}_counts_{n}", reset_less=True, attrs=KEEP) for n in range(2)]
            for name in "ab"
        }
        less = [Signal(name=f"less_{n}", reset_less=True, attrs=KEEP) for n in range(3)]
        ahead, behind = (Signal(9, name=name, reset_less=True) for name in ("ahead", "behind"))
        m.d.sync += [
            a.eq(self.a),
            b.eq(self.b),
            b.negative.eq(self.b.negative ^ self.subtract),
            *(copy.eq(self.a.exponent != 0) for copy in counts["a"]),
            *(copy.eq(self.b.exponent != 0) for copy in counts["b"]),
            *(copy.eq(self.a.as_value()[:31] < self.b.as_value()[:31]) for copy in less),
            ahead.eq(self.a.exponent - self.b.exponent),
            behind.eq(self.b.exponent - self.a.exponent),
        ]

        # 2: the larger and the smaller.
        large, small = (Signal(MANTISSA_BITS, name=name, reset_less=True) for name in ("large", "small"))
        exponent, negative, unlike = (
            Signal(shape, name=name, reset_less=True)
            for name, shape in (("exponent", 8), ("negative", 1), ("unlike", 1))
        )
        shift = Signal(5, reset_less=True)
        apart = Signal(8)
        of_a = [Mux(copy, mantissa(a), 0) for copy in counts["a"]]
        of_b = [Mux(copy, mantissa(b), 0) for copy in counts["b"]]
        m.d.comb += apart.eq(Mux(less[2], behind, ahead)[:8])
        m.d.sync += [
            large.eq(Mux(less[0], of_b[0], of_a[0])),
            small.eq(Mux(less[1], of_a[1], of_b[1])),
            exponent.eq(Mux(less[2], b.exponent, a.exponent)),
            negative.eq(Mux(less[2], b.negative, a.negative)),
            unlike.eq(a.negative ^ b.negative),
            shift.eq(apart[:5] | apart[5:].any().replicate(5)),
        ]

        # 3, 4: the smaller one to its place; what leaves it is remembered as one bit.
        placed = Cat(0, 0, small)
        lost = Signal(reset_less=True)
        for name, unit, amounts in (
            ("coarse", 8, [shift[3:]] * 2),
            ("fine", 1, copies(m, shift[:3], 3, "fine")),
        ):
            next_placed = Signal(len(placed), name=f"{name}_placed", reset_less=True)
            next_lost = Signal(name=f"{name}_lost", reset_less=True)
            ways = [placed >> unit * n for n in range(1 << len(amounts[0]))]
            for amount, part in parts(amounts[1:], len(placed)):
                with m.Switch(amount):
                    for n, way in enumerate(ways):
                        with m.Case(n):
                            m.d.sync += next_placed[part].eq(way[part])
            gone = Cat((amounts[0] > n) & placed[unit * n :][:unit].any() for n in range(len(ways) - 1)).any()
            m.d.sync += next_lost.eq(gone if name == "coarse" else gone | lost)
            placed, lost = next_placed, next_lost

        # 5: the sum, never below 0.
        total = Signal(_SUM_BITS, reset_less=True)
        larger = Cat(0, 0, 0, late(m, large, 2, "large"))
        smaller = Cat(lost, placed)
        m.d.sync += total.eq(Mux(late(m, unlike, 2, "unlike"), larger - smaller, larger + smaller))

        # 6: whether its first 16 bits are 0; 7, 8, 9: to the left by 16, by 4s, by 1s, as far as bits are 0.
        far, moved, normal = (
            Signal(_SUM_BITS, name=name, reset_less=True) for name in ("far", "moved", "normal")
        )
        power = Signal(EXPONENT, reset_less=True)
        skipped = Signal(2)
        zeros = Signal(2)
        empties, held = twins(m, ~total[-16:].any(), _SUM_BITS, "empties", 2), late(m, total, 1, "held_total")
        nibbles = Signal(_SUM_BITS // 4, reset_less=True)
        m.d.sync += nibbles.eq(Cat(total[-4 * (n + 1) :][:4].any() for n in range(_SUM_BITS // 4)))
        m.d.comb += [
            skipped.eq(Mux(empties[0], first_set([*nibbles[4:], 1]), first_set([*nibbles[:3], 1]))),
            zeros.eq(first_set([moved[-1 - n] for n in range(4)])),
        ]
        skips = twins(m, skipped, _SUM_BITS, "skips", 2)
        top = late(m, late(m, exponent, 4, "exponent") + 1, 2, "top")
        places = Cat(zeros, late(m, skips[0], 1, "fourths"), late(m, empties[0], 2, "sixteenth"))
        m.d.sync += far.eq(chosen(m, empties, held << 16, held, _SUM_BITS))
        for skip, part in parts(skips, _SUM_BITS):
            m.d.sync += moved[part].eq((far << (skip << 2))[part])
        m.d.sync += [normal.eq(moved << zeros), power.eq(top - places)]
        zero = ~normal[-1] | ~self.used

        # 10: rounded.
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        rest = normal[: FRACTION_BITS + 1 - MANTISSA_BITS + _SPARE]
        up = normal[_SPARE] & (rest.any() | normal[_SPARE + 1])
        m.d.sync += rounded.eq(normal[_SPARE + 1 :] + up)
        result, over = settled(
            m, late(m, negative, 8, "negative"), late(m, power, 1, "power"), rounded, late(m, zero, 1, "zero")
        )
        m.d.comb += [self.result.eq(result), self.overflow.eq(over)]
        return m
