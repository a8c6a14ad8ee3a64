"""Products of small numbers, a bit a cycle: what instructions leave to be worked out."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP, copies

FACTOR_BITS = 32


class Product(wiring.Component):
    """``start + factor * count``, modulo 2**32.

    Parameters: ``count_bits``.
    Members: ``go``: take ``start``, or with ``on`` the total, and ``factor`` and ``count``, which stay for a
    cycle more; ``done``: for a cycle, ``total`` is there and stays until the cycle behind the next ``go``.
    Latency from ``go`` to ``done`` `latency_cycles`, and a cycle for each bit up to the highest that is set
    in ``count``.
    """

    latency_cycles = 3

    def __init__(self, count_bits: int):
        super().__init__(
            {
                "go": In(1),
                "on": In(1),
                "start": In(FACTOR_BITS),
                "factor": In(FACTOR_BITS),
                "count": In(count_bits),
                "done": Out(1),
                "total": Out(FACTOR_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Copies of what loads and adds: one for the count, and for each half of the sum.
        half = FACTOR_BITS // 2
        goes = copies(m, self.go, 5, "go", reset_less=False)
        factor = Signal(FACTOR_BITS, reset_less=True)
        count = Signal.like(self.count, reset_less=True)
        adds = [Signal(name=f"adds_{n}", reset_less=True, attrs=KEEP) for n in range(2)]
        """The lowest bit of ``count``."""
        running = Signal()
        settled = Signal()
        empty = Signal()
        m.d.comb += self.done.eq(settled & empty)
        m.d.sync += [
            running.eq(goes[0] | (running & ~self.done)),
            settled.eq(running & ~goes[0] & ~self.done),
            empty.eq(~count.any()),
            count.eq(Mux(goes[0], self.count, count >> 1)),
            *(flag.eq(Mux(goes[0], self.count[0], count[1])) for flag in adds),
        ]
        sums = Signal(FACTOR_BITS)
        m.d.comb += sums.eq(
            self.total + Cat(factor[:half] & adds[0].replicate(half), factor[half:] & adds[1].replicate(half))
        )
        for n in range(len(adds)):
            part = slice(half * n, half * (n + 1))
            m.d.sync += factor[part].eq(Mux(goes[1 + n], self.factor[part], (factor << 1)[part]))
            m.d.sync += self.total[part].eq(Mux(goes[3 + n] & ~self.on, self.start[part], sums[part]))
        return m
