"""Performance counters."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import Counter

COUNTER_BITS = 64
INCREMENT_BITS = 5
"""A counter moves by at most 16 (two ports of 8 bytes) a cycle."""


class Counters(wiring.Component):
    """One 64-bit counter per `cpt.hw.contract.Counter`.

    Members: ``increment``: what to add to each this cycle; ``clear``; ``value``. Indexed by `Counter`.
    """

    def __init__(self):
        super().__init__(
            {
                "increment": In(INCREMENT_BITS).array(len(Counter)),
                "clear": In(1),
                "value": Out(COUNTER_BITS).array(len(Counter)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for increment, value in zip(self.increment, self.value, strict=True):
            # The increment is registered: sums over ports stay off the 64-bit carry chain.
            pending = Signal.like(increment)
            m.d.sync += [pending.eq(increment), value.eq(value + pending)]
        with m.If(self.clear):
            for value in self.value:
                m.d.sync += value.eq(0)
        return m
