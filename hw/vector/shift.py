"""Shift to the right with what rounds added: the 48 bits of a lane's sum to the few that a result has."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
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
    Members: ``value``; ``high``, ``middle``, ``low``: pairs of the amount's bits, in the cycle before it,
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
        # Steps of 16, 4 and 1. Of a step's result only what later ones can still move into the kept bits goes
        # on; whether the bits above are all signs is found a cycle later, beside the next step.
        wide = Cat(Const(0, self.left), self.value)
        high, middle, low = (
            copies(m, getattr(self, name), COPIES, name) for name in ("high", "middle", "low")
        )
        cut, exact = (Signal(name=name, reset_less=True) for name in ("cut", "exact_late"))
        m.d.sync += [cut.eq(self.exact), exact.eq(cut)]
        first = Signal(signed(len(wide)), reset_less=True)
        m.d.sync += first.eq(self._moved(wide, high, 16))
        second = Signal(signed(kept + 15), reset_less=True)
        lost_first = Signal(reset_less=True)
        m.d.sync += [
            second.eq(self._moved(first, middle, 4)),
            lost_first.eq(self._lost(first, kept + 15)),
        ]
        third = Signal(signed(kept + 3), reset_less=True)
        lost_second = Signal(reset_less=True)
        m.d.sync += [
            third.eq(self._moved(second, low, 1)),
            lost_second.eq((lost_first | self._lost(second, kept + 3)) & ~cut),
        ]
        negative = Signal(2, reset_less=True)
        m.d.sync += negative.eq(Cat(first[-1], negative[0]))
        lost = Signal()
        m.d.comb += lost.eq((lost_second | self._lost(third, kept)) & ~exact)
        sign = negative[1]
        end = Cat((~sign).replicate(kept - 1), sign)
        total = Signal(signed(kept + 1), reset_less=True)
        m.d.sync += total.eq(Mux(lost, end, third[:kept]).as_signed() + self.add)
        m.d.comb += self.out.eq(total >> self.fraction)
        return m

    def _moved(self, value, choices, step: int):
        """``value`` shifted by so many steps, each part by its own copy of the choice."""
        options = [Cat(value[n * step :], value[-1].replicate(n * step)) for n in range(4)]
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
