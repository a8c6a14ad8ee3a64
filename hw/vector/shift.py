"""Shift to the right with what rounds added: the 48 bits of a lane's sum to the few that a result has."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import copies

AMOUNT_BITS = 6
COPIES = 3
"""Of what chooses a step, each for its share of the bits."""


class Shift(wiring.Component):
    """``out = (saturated((value << left) >> amount) + add) >> fraction``, the first shift arithmetic.

    Parameters: ``value_bits``; ``left``: the fraction bits that the shift may reach below the value's last;
    ``fraction``: those that are left when ``add`` comes on top; ``out_bits``: of a result that no addition
    has carried further: ``out`` has one more.
    Members: ``value``; ``middle``, ``high``, ``low``: pairs of the amount's bits, in the cycle before it,
    with it, and after it; ``exact``, after it: nothing saturates; ``add``, 3 cycles after it.
    Latency `latency_cycles`, a value a cycle.
    """

    latency_cycles = 4

    def __init__(self, value_bits: int, left: int, fraction: int, out_bits: int):
        self.left, self.fraction, self.kept_bits = left, fraction, out_bits + fraction
        super().__init__(
            {
                "value": In(signed(value_bits)),
                "high": In(2),
                "middle": In(2),
                "low": In(2),
                "exact": In(1),
                "add": In(fraction),
                "out": Out(signed(out_bits + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kept = self.kept_bits
        # Steps of 4, 16 and 1: the sign of a value that a multiplier gives has no copies, and a step of 4 has
        # it at the fewest places. Of a step's result only what later ones can still move into the kept bits
        # goes on; whether the bits above are all signs is found a cycle later, beside the next step.
        wide = Cat(Const(0, self.left), self.value)
        size = len(wide)
        high, middle, low = (
            copies(m, getattr(self, name), COPIES, name) for name in ("high", "middle", "low")
        )
        cut, exact = (Signal(name=name, reset_less=True) for name in ("cut", "exact_late"))
        m.d.sync += [cut.eq(self.exact), exact.eq(cut)]
        first = Signal(signed(len(wide)), reset_less=True)
        m.d.sync += first.eq(self._moved(wide, middle, 4, wide[-1]))
        moving, compared = copies(m, wide[-1], 2, "sign")
        second = Signal(signed(kept + 3), reset_less=True)
        m.d.sync += second.eq(self._moved(first, high, 16, moving)[: kept + 3])
        starts = [start for start in range(kept + 2, size, 16)]
        """Of the bits that are lost by steps of 0, 1, .. times 16, from the first of which on all are."""
        other = Signal(len(starts), name="no_signs", reset_less=True)
        steps = Signal(2, reset_less=True)
        m.d.sync += [
            other.eq(
                Cat(
                    (first[at : at + 16] ^ compared.replicate(len(first[at : at + 16]))).any()
                    for at in starts
                )
            ),
            steps.eq(high[0]),
        ]
        third = Signal(signed(kept + 3), reset_less=True)
        lost_second = Signal(reset_less=True)
        beyond = [other[n:].any() if n < len(starts) else Const(0) for n in range(4)]
        m.d.sync += [
            third.eq(self._moved(second, low, 1, second[-1])),
            lost_second.eq(Array(beyond)[steps] & ~cut),
        ]
        negative = Signal(2, reset_less=True)
        m.d.sync += negative.eq(Cat(compared, negative[0]))
        lost = Signal()
        m.d.comb += lost.eq((lost_second | self._lost(third, kept)) & ~exact)
        sign = negative[1]
        end = Cat((~sign).replicate(kept - 1), sign)
        total = Signal(signed(kept + 1), reset_less=True)
        m.d.sync += total.eq(Mux(lost, end, third[:kept]).as_signed() + self.add)
        m.d.comb += self.out.eq(total >> self.fraction)
        return m

    def _moved(self, value, choices, step: int, sign):
        """``value`` shifted by so many steps, each part by its own copy of the choice."""
        options = [Cat(value[n * step :], sign.replicate(n * step)) for n in range(4)]
        size = -(-len(value) // COPIES)
        parts = []
        for n, choice in enumerate(choices):
            piece = slice(n * size, min(len(value), (n + 1) * size))
            part = [option[piece] for option in options]
            parts.append(Mux(choice[1], Mux(choice[0], part[3], part[2]), Mux(choice[0], part[1], part[0])))
        return Cat(parts).as_signed()

    def _lost(self, value, bits: int):
        """Whether ``value`` needs more than ``bits``."""
        above = value[bits - 1 :]
        return above.any() & ~above.all()
