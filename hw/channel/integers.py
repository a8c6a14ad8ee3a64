"""Sums, differences and shifts of integers."""

import enum

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, chosen, inverted, late, negated, twins
from cpt.hw.channel.ports import WORD_BITS
from cpt.hw.matrix.copies import MOST_LOADS

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
    Members: ``kind`` (`Integers`); ``shift``: right, of COPY; left, 0 .. 16, of SUM_MAGNITUDES; ``chain``:
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
        sizes = [self._size(m, lane, mask[lane]) for lane in range(self.lanes)]
        # Then the sum of all magnitudes, two by two.
        totals, own = sizes, [late(m, size, levels, f"own_{lane}") for lane, size in enumerate(sizes)]
        for level in range(levels):
            pairs = []
            for at in range(0, len(totals), 2):
                total = Signal(INTEGER, name=f"sum_{level}_{at}", reset_less=True)
                m.d.sync += total.eq(totals[at] + totals[at + 1])
                pairs.append(total)
            totals = pairs
        chains = twins(m, self.chain, INTEGER.width, "chains")
        own[0] = chosen(m, chains, totals[0], own[0], INTEGER)
        # 6: added up.
        for lane, size in enumerate(own):
            adding = twins(m, self.kind == Integers.SUM_MAGNITUDES, INTEGER.width, f"adds_{lane}")
            held = late(m, self.c[lane], 5 + levels, f"c_{lane}")
            if lane == 0:
                first = late(m, self.first, 4 + levels, "first")
                held = chosen(
                    m, twins(m, first, INTEGER.width, "first_of_row"), held, self.result[0], INTEGER
                )
            valid = late(m, self.valid, 4 + levels, f"sum_valid_{lane}", reset_less=False)
            found = Signal(INTEGER)
            m.d.comb += found.eq(chosen(m, adding, held, 0, INTEGER) + size)
            for n, takes in enumerate(twins(m, valid, INTEGER.width, f"valid_sum_{lane}")):
                part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
                with m.If(takes):
                    m.d.sync += self.result[lane][part].eq(found[part])
        return m

    def _size(self, m: Module, lane: int, counts) -> Signal:
        """A lane's number before it is added, 5 cycles later; 0 of a lane that does not count."""
        # 1, 2, 3: shifted to the right, by 16s, by 4s, by 1s; to the left in the first two.
        left_coarse = Mux(self.shift[4], 4, self.shift[2:4])
        right = self._shifted(m, "right_16", self.a[lane], self.shift[4:], lambda value, n: value >> 16 * n)
        right = self._shifted(m, "right_4", right, self.shift[2:4], lambda value, n: value >> 4 * n)
        left = self._shifted(m, "left_4", self.a[lane], left_coarse, lambda value, n: value << 4 * n)
        left = self._shifted(m, "left_1", left, self.shift[:2], lambda value, n: value << n)
        copied = self._shifted(m, "right_1", right, self.shift[:2], lambda value, n: value >> n)
        a, b = late(m, self.a[lane], 2, "a"), late(m, self.b[lane], 2, "b")
        joined, total = Signal(INTEGER, reset_less=True), Signal(INTEGER, reset_less=True)
        takes_b = twins(m, self.kind == Integers.SUBTRACT, INTEGER.width, "subtracts")
        of_sum = twins(m, self.kind == Integers.SUM_MAGNITUDES, INTEGER.width, "of_sum")
        first_term, second_term = chosen(m, of_sum, left, a, INTEGER), inverted(m, takes_b, b)
        m.d.sync += [
            joined.eq(Cat(a[:WORD_BITS], b[: INTEGER.width - WORD_BITS])),
            total.eq((Cat(1, first_term) + Cat(takes_b[0], second_term))[1:]),
        ]
        # 4: which of them; 5: its magnitude.
        copying, joining, adding = (
            twins(m, self.kind == kind, INTEGER.width, kind.name.lower())
            for kind in (Integers.COPY, Integers.JOIN, Integers.SUM_MAGNITUDES)
        )
        value, size = Signal(INTEGER, reset_less=True), Signal(INTEGER, reset_less=True)
        m.d.sync += value.eq(chosen(m, copying, copied, chosen(m, joining, joined, total, INTEGER), INTEGER))
        signs = twins(m, total[-1] & adding[0], INTEGER.width, "sign")
        m.d.sync += size.eq(Mux(counts, negated(m, signs, value), 0))
        return size

    @staticmethod
    def _shifted(m: Module, name: str, value, amount, by) -> Signal:
        """``by(value, amount)``, a cycle later; ``amount`` stays."""
        found = Signal(INTEGER, name=name, reset_less=True)
        ways = [Signal(INTEGER, name=f"{name}_by_{n}") for n in range(1 << len(amount))]
        m.d.comb += [way.eq(by(value, n)) for n, way in enumerate(ways)]
        for number, choice in enumerate(twins(m, amount, INTEGER.width, f"{name}_amount")):
            part = slice(number * MOST_LOADS, (number + 1) * MOST_LOADS)
            with m.Switch(choice):
                for n, way in enumerate(ways):
                    with m.Case(n):
                        m.d.sync += found[part].eq(way[part])
        return found
