"""Long integers to float32."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.multiplier import EXACT
from cpt.hw.channel.number import (
    BIAS,
    EXPONENT,
    FLOAT,
    INTEGER,
    MANTISSA_BITS,
    SETTLED_CYCLES,
    late,
    negated,
    settled,
    twins,
)
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

_STEPS = (32, 8, 2)
"""Zeros in front go in pieces of this many: as many pieces as make the next larger size, less one."""
_BEHIND = MANTISSA_BITS + 1
"""Bits that rounding looks at, beside whether any behind them is set."""
LANE_TOP = 15
"""Bits of 32767, of which a drain's shift is counted."""
MOST_SHIFT = 32


class Rounder(wiring.Component):
    """``fl(value)`` of a long integer, and its drain shift: `float_unit.from_integer`, `codes.drain_shift`.

    Members: ``valid``, ``value``; ``done``, ``result`` (float32); ``shift``: the smallest h, 0 .. 32, with
    ``value <= 32767 * 2^h``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 2 + 2 * len(_STEPS) + 2 + SETTLED_CYCLES

    def __init__(self):
        super().__init__(
            {
                "valid": In(1),
                "value": In(EXACT),
                "done": Out(1),
                "result": Out(FLOAT),
                "shift": Out(range(MOST_SHIFT + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))

        # 1, 2: its magnitude.
        signs = twins(m, self.value[-1], EXACT.width, "sign")
        negative = late(m, self.value[-1], 2, "negative_so_far")
        value = Signal(EXACT.width, name="magnitude", reset_less=True)
        m.d.sync += value.eq(negated(m, signs, late(m, self.value, 1, "value")))

        # 3..: pieces of zeros go, coarse ones first; bits too far behind become one.
        zeros, behind = Signal(7, name="no_zeros"), EXACT.width
        for step, size in enumerate(_STEPS):
            wider = (behind, *_STEPS)[step]
            pieces = -(-min(wider, len(value)) // size) - 1
            count = -(-len(value) // MOST_LOADS)
            skips = [
                Signal(range(pieces + 1), name=f"skip_{size}_{n}", reset_less=True, attrs=KEEP)
                for n in range(count)
            ]
            empty = [~value[len(value) - size * (n + 1) : len(value) - size * n].any() for n in range(pieces)]
            for skip in skips:
                m.d.sync += skip.eq(pieces)
                for n in reversed(range(pieces)):
                    with m.If(~empty[n]):
                        m.d.sync += skip.eq(n)
            held, held_zeros = late(m, value, 1, f"held_{size}"), late(m, zeros, 1, f"held_zeros_{size}")
            moved = Signal(len(value), name=f"moved_{size}")
            for n, skip in enumerate(skips):
                part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
                m.d.comb += moved[part].eq((held << skip * size)[part])
            kept = min(size + _BEHIND, len(value))
            cut = len(value) - kept
            value = Signal(kept + 1, name=f"left_{size}", reset_less=True)
            zeros = Signal(7, name=f"zeros_{size}", reset_less=True)
            m.d.sync += [
                value.eq(Cat(moved[:cut].any(), moved[cut:])),
                zeros.eq(held_zeros + skips[0] * size),
            ]

        # The last one; the first bit is set now, unless all are 0.
        normal = Signal(len(value), name="normal", reset_less=True)
        power, none = Signal(EXPONENT, reset_less=True), Signal(reset_less=True)
        top = BIAS + EXACT.width - 1
        m.d.sync += [
            normal.eq(Mux(value[-1], value, value << 1)),
            power.eq(top - zeros - ~value[-1]),
            none.eq(~value[-2:].any()),
        ]
        below = len(normal) - MANTISSA_BITS - 1
        kept, half, rest = normal[below + 1 :], normal[below], normal[:below].any()
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        m.d.sync += rounded.eq(kept + (half & (rest | kept[0])))
        cycles = self.latency_cycles - 2 - SETTLED_CYCLES
        sign, held_power, held_none = (
            late(m, negative, cycles, "negative"),
            late(m, power, 1, "power"),
            late(m, none, 1, "none"),
        )
        result, _ = settled(m, sign, held_power, rounded, held_none)
        m.d.comb += self.result.eq(result)
        self._drain_shift(m, kept, half | rest, held_power, sign | held_none)
        return m

    def _drain_shift(self, m: Module, kept, rest, power, nothing) -> None:
        """Counted from the exponent; one more where the bits are above those of 32767."""
        ones, beyond = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [ones.eq(kept[-LANE_TOP:].all()), beyond.eq(kept[:-LANE_TOP].any() | rest)]
        wanted, none = Signal(EXPONENT, reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            wanted.eq(power - (BIAS + LANE_TOP - 1) + (ones & beyond)),
            none.eq(nothing),
            self.shift.eq(Mux(none | (wanted < 0), 0, Mux(wanted > MOST_SHIFT, MOST_SHIFT, wanted[:6]))),
        ]


assert INTEGER.width < EXACT.width
