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

    Members: ``valid``, ``a``, ``b`` (float32), ``subtract``; ``done``, ``result``, ``overflow``: the result
    is infinite.
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

        # 3, 4: the smaller one to its place, by 8s, by 1s; what leaves it becomes one bit.
        far, near = shift[3:], copies(m, shift[:3], 3, "near")
        coarse, placed = (
            Signal(MANTISSA_BITS + 2, name=name, reset_less=True) for name in ("coarse", "placed")
        )
        start = Cat(0, 0, small)
        m.d.sync += coarse.eq(start >> (far << 3))
        for amount, part in parts(near[1:], len(placed)):
            m.d.sync += placed[part].eq((coarse >> amount)[part])
        full = Signal(3, reset_less=True)
        lost = Signal(reset_less=True)
        far_before = late(m, far, 1, "far")
        m.d.sync += [
            full.eq(Cat(start[8 * n :][:8].any() for n in range(3))),
            lost.eq(
                Cat(full[n] & (far_before > n) for n in range(3)).any()
                | Cat(coarse[n] & (near[0] > n) for n in range(7)).any()
            ),
        ]

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
        zero = ~normal[-1]

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
