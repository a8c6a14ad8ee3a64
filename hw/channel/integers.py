"""Sums, differences and shifts of integers."""

import enum

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, chosen, inverted, late, negated, parts, twins
from cpt.hw.channel.ports import WORD_BITS
from cpt.hw.matrix.copies import copies

SHIFT_BITS = 6


class Integers(enum.IntEnum):
    """What is done."""

    ADD = 0
    SUBTRACT = 1
    SUM_MAGNITUDES = 2
    COPY = 3
    JOIN = 4


def latency_cycles(lanes: int) -> int:
    """Of `IntegerUnit`."""
    return 6 + (lanes - 1).bit_length()


class IntegerUnit(wiring.Component):
    """INT_ADD, INT_SUBTRACT, SUM_MAGNITUDES, COPY and JOIN on 48 bits, signed; what is longer loses its top.

    Parameters: ``lanes``, elements at once, a power of two.
    Members: ``kind`` (`Integers`); ``shift``: right, of COPY; left, 0 .. 16, of SUM_MAGNITUDES, whose a
    has 32 bits; ``chain``:
    lane 0 takes the sum of all magnitudes; these stay while anything is under way; ``valid``, ``first``: of
    a row, else the sum of magnitudes so far takes the place of lane 0's c; ``mask``: lanes that count, from
    lane 0 on; ``a``, ``b``, ``c``; ``done``, ``result``.
    Elements of all lanes a cycle, `latency_cycles` later.
    """

    def __init__(self, lanes: int = 1):
        self.lanes = lanes
        self.latency_cycles = latency_cycles(lanes)
        super().__init__(
            {
                "kind": In(Integers),
                "shift": In(SHIFT_BITS),
                "chain": In(1),
                "valid": In(1),
                "first": In(1),
                "mask": In(lanes, init=1),
                "a": In(INTEGER).array(lanes),
                "b": In(INTEGER).array(lanes),
                "c": In(INTEGER).array(lanes),
                "done": Out(1),
                "result": Out(INTEGER).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        levels = self.latency_cycles - latency_cycles(1)
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        mask = late(m, self.mask, 4, "mask")
        sums = self.kind == Integers.SUM_MAGNITUDES
        far, near = self._amounts(m)
        sizes = [self._size(m, lane, mask[lane], far, near) for lane in range(self.lanes)]
        # Then the sum of all magnitudes, two by two, where lane 0 takes it.
        totals, own = sizes, [late(m, size, levels, f"own_{lane}") for lane, size in enumerate(sizes)]
        for level in range(levels):
            pairs = []
            for at in range(0, len(totals), 2):
                total = Signal(INTEGER, name=f"sum_{level}_{at}", reset_less=True)
                chains = twins(m, self.chain, INTEGER.width, f"chains_{level}_{at}")
                m.d.sync += total.eq(totals[at] + chosen(m, chains, totals[at + 1], 0, INTEGER))
                pairs.append(total)
            totals = pairs
        own[0] = totals[0]
        # 6: added up.
        for lane, size in enumerate(own):
            held = late(m, self.c[lane], 5 + levels, f"c_{lane}")
            if lane == 0:
                first = late(m, self.first, 4 + levels, "first")
                firsts = twins(m, first, INTEGER.width, "first_of_row")
                held = chosen(m, firsts, held, self.result[0], INTEGER)
            valid = late(m, self.valid, 4 + levels, f"sum_valid_{lane}", reset_less=False)
            adding = twins(m, sums, INTEGER.width, f"adds_{lane}")
            found = Signal(INTEGER)
            m.d.comb += found.eq(size + chosen(m, adding, held, 0, INTEGER))
            for takes, part in parts(twins(m, valid, INTEGER.width, f"valid_sum_{lane}"), INTEGER.width):
                with m.If(takes):
                    m.d.sync += self.result[lane][part].eq(found[part])
        return m

    def _amounts(self, m: Module) -> tuple[Signal, Signal]:
        """How a is shifted, from registers: to the left by 16, not, or to the right by 16 or 32; then to the
        right by 0 .. 15. So one shifter is for both ways.
        """
        far = Signal(2, reset_less=True)
        near = Signal(4, reset_less=True)
        ahead, most = self.shift[4:], (1 << SHIFT_BITS) - INTEGER.width
        m.d.sync += [far.eq(1), near.eq(0)]
        with m.If(self.kind == Integers.SUM_MAGNITUDES):
            m.d.sync += [far.eq(self.shift == 0), near.eq(-self.shift[:4])]
        with m.Elif(self.kind == Integers.COPY):
            m.d.sync += [far.eq(ahead + 1), near.eq(self.shift[:4])]
            with m.If(ahead.all()):  # all of it: no more than its sign stays
                m.d.sync += [far.eq(3), near.eq(most - 1)]
        return far, near

    def _size(self, m: Module, lane: int, counts, far: Signal, near: Signal) -> Signal:
        """What a lane makes of a and b, four cycles later; its magnitude if that is wanted."""
        # 1, 2, 3: shifted.
        a, b = self.a[lane], late(m, self.b[lane], 2, f"b_{lane}")
        joins = self.kind == Integers.JOIN
        low = twins(m, joins, INTEGER.width - WORD_BITS, f"joins_{lane}")[0]
        upper = a[WORD_BITS:] & ~low.replicate(INTEGER.width - WORD_BITS)
        shifted = Cat(a[:WORD_BITS], upper).as_signed()
        ways = (shifted << 16, shifted, a >> 16, a >> 32)
        shifted = self._shifted(m, f"far_{lane}", ways, far)
        for name, by, amount in (("fourths", 4, near[2:]), ("ones", 1, near[:2])):
            shifted = self._shifted(m, f"{name}_{lane}", [shifted >> by * n for n in range(4)], amount)
        # What is added to it.
        second = Signal(INTEGER, name=f"second_{lane}", reset_less=True)
        takes = (self.kind != Integers.COPY) & ~joins
        adds = twins(m, takes, INTEGER.width, f"adds_b_{lane}")
        subtracts = twins(m, self.kind == Integers.SUBTRACT, INTEGER.width, f"subtracts_{lane}")
        joined = twins(m, joins, INTEGER.width, f"joined_{lane}")
        added = chosen(m, adds, inverted(m, subtracts, b), 0, INTEGER)
        m.d.sync += second.eq(chosen(m, joined, b << WORD_BITS, added, INTEGER))
        # 4: added, with copies of the sign; 5: its magnitude.
        sums = self.kind == Integers.SUM_MAGNITUDES
        adding, carry = (
            copies(m, sums, 1, f"sums_{lane}")[0],
            copies(m, self.kind == Integers.SUBTRACT, 1, f"carry_{lane}")[0],
        )
        total = Signal(INTEGER, name=f"total_{lane}", reset_less=True)
        next_total = Signal(INTEGER)
        m.d.comb += next_total.eq((Cat(1, shifted) + Cat(carry, second))[1:])
        m.d.sync += total.eq(next_total)
        signs = twins(m, next_total[-1] & adding, INTEGER.width, f"sign_{lane}")
        size = Signal(INTEGER, name=f"size_{lane}", reset_less=True)
        m.d.sync += size.eq(negated(m, signs, total))
        with m.If(~counts):
            m.d.sync += size.eq(0)
        return size

    @staticmethod
    def _shifted(m: Module, name: str, ways, amount) -> Signal:
        """The one of ``ways`` that ``amount``, which stays, says, a cycle later."""
        found = Signal(INTEGER, name=name, reset_less=True)
        for choice, part in parts(twins(m, amount, INTEGER.width, f"{name}_amount", 2), INTEGER.width):
            with m.Switch(choice):
                for n, way in enumerate(ways):
                    with m.Case(n):
                        m.d.sync += found[part].eq(way[part])
        return found
