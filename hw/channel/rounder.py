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
    first_set,
    late,
    negated,
    parts,
    settled,
    twins,
)
from cpt.hw.matrix.copies import copies

_FAR, _NEAR, _LAST = 32, 8, 2
"""Zeros in front go in pieces of this many."""
_BEHIND = MANTISSA_BITS + 1
"""Bits that rounding looks at, beside whether any behind them is set."""
_SHIFTED = 16
"""Bits that a copy of what shifts them shifts."""
LANE_TOP = 15
"""Bits of 32767, of which a drain's shift is counted."""
MOST_SHIFT = 32


class Rounder(wiring.Component):
    """``fl(value)`` of a long integer, and its drain shift: `float_unit.from_integer`, `codes.drain_shift`.

    Members: ``valid``, ``value``; ``used``, ``shift_used``: what is not used is 0; ``done``, ``result``
    (float32); ``shift``: the smallest h, 0 .. 32, with ``value <= 32767 * 2^h``.
    One a cycle, `latency_cycles` later.
    """

    latency_cycles = 2 + 5 + 2 + SETTLED_CYCLES

    def __init__(self):
        super().__init__(
            {
                "valid": In(1),
                "value": In(EXACT),
                "used": In(1, init=1),
                "shift_used": In(1, init=1),
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

        # 3: which pieces are empty; 4, 5: zeros go by 32s, 6: by 8s, 7: by 2s. What is too far behind becomes
        # one bit.
        width = len(value)
        full = Signal(-(-width // _NEAR), reset_less=True)
        m.d.sync += full.eq(
            Cat(value[max(width - _NEAR * (n + 1), 0) : width - _NEAR * n].any() for n in range(len(full)))
        )
        each = _FAR // _NEAR
        fars = first_set([full[:each].any(), full[each : 2 * each].any(), 1])
        far = copies(m, fars, -(-width // _SHIFTED), "far")
        fulls = late(m, full, 1, "fulls")
        value, lost = self._shifted(m, late(m, value, 2, "held"), far, _FAR, 3)
        rest = late(m, lost, 1, "rest_far")
        front = Signal(each - 1)
        with m.Switch(far[0]):
            for n in range(3):
                with m.Case(n):
                    m.d.comb += front.eq(fulls[each * n :][: each - 1])
        near = copies(m, first_set([*front, 1]), -(-len(value) // _SHIFTED), "near")
        value, lost = self._shifted(m, value, near, _NEAR, each)
        rest = late(m, lost | rest, 1, "rest_near")
        last = first_set([*(value[-_LAST * (n + 1) :][:_LAST].any() for n in range(_NEAR // _LAST - 1)), 1])
        value, lost = self._shifted(m, value, [last], _LAST, _NEAR // _LAST)
        rest = late(m, lost | rest, 1, "rest_last")
        zeros = Cat(
            late(m, last, 1, "zeros_last"), late(m, near[0], 2, "zeros_near"), late(m, far[0], 3, "zeros_far")
        )

        # 8: the last one; the first bit is set now, unless all are 0. 9: rounded.
        normal = Signal(len(value), name="normal", reset_less=True)
        power = Signal(EXPONENT, reset_less=True)
        none = Signal(reset_less=True)
        top = BIAS + EXACT.width - 1
        m.d.sync += [
            normal.eq(Mux(value[-1], value, value << 1)),
            power.eq(top - Cat(~value[-1], zeros)),
            none.eq(~value[-2:].any()),
        ]
        below = len(normal) - MANTISSA_BITS - 1
        kept, half, rest = normal[below + 1 :], normal[below], normal[:below].any() | rest
        rounded = Signal(MANTISSA_BITS + 1, reset_less=True)
        m.d.sync += rounded.eq(kept + (half & (rest | kept[0])))
        cycles = self.latency_cycles - 2 - SETTLED_CYCLES
        sign, held_power, held_none = (
            late(m, negative, cycles, "negative"),
            late(m, power, 1, "power"),
            late(m, none, 1, "none"),
        )
        result, _ = settled(m, sign, held_power, rounded, held_none | ~self.used)
        m.d.comb += self.result.eq(result)
        self._drain_shift(m, kept, half | rest, power, sign | held_none | ~self.shift_used)
        return m

    @staticmethod
    def _shifted(m: Module, value, skips: list, size: int, pieces: int) -> tuple:
        """``value`` without the first ``skips`` pieces of ``size``, a cycle later; each copy shifts its part.

        And whether bits behind those that are kept were set.
        """
        width = len(value)
        kept = min(size + _BEHIND, width)
        cut = width - kept
        moved, left = Signal(width, name=f"moved_{size}"), Signal(kept, name=f"left_{size}", reset_less=True)
        for skip, part in parts(skips, width):
            m.d.comb += moved[part].eq((value << skip * size)[part])
        m.d.sync += left.eq(moved[cut:])
        ends = [max(cut - size * n, 0) for n in range(pieces + 1)]
        lost = Signal(pieces, name=f"lost_{size}", reset_less=True)
        m.d.sync += lost.eq(Cat(value[ends[n + 1] : ends[n]].any() if ends[n] else 0 for n in range(pieces)))
        skipped = late(m, skips[0], 1, f"skipped_{size}")
        return left, Cat(lost[n] & (skipped <= n) for n in range(pieces)).any()

    def _drain_shift(self, m: Module, kept, rest, power, nothing) -> None:
        """Counted from the exponent; one more where the bits are above those of 32767."""
        ones = Signal(reset_less=True)
        beyond = Signal(reset_less=True)
        m.d.sync += [ones.eq(kept[-LANE_TOP:].all()), beyond.eq(kept[:-LANE_TOP].any() | rest)]
        wanted = Signal(EXPONENT, reset_less=True)
        none = Signal(reset_less=True)
        shift = Signal(EXPONENT, reset_less=True)
        m.d.sync += [
            shift.eq(power - (BIAS + LANE_TOP - 1)),
            wanted.eq(shift + (ones & beyond)),
            none.eq(nothing),
            self.shift.eq(
                Mux(
                    none | wanted[-1],
                    0,
                    Mux(wanted[6:-1].any() | (wanted[5] & wanted[:5].any()), MOST_SHIFT, wanted[:6]),
                )
            ),
        ]


assert MOST_SHIFT == 32

assert INTEGER.width < EXACT.width
