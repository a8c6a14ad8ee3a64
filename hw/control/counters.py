"""Performance counters."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import Counter
from cpt.hw.matrix.copies import MOST_LOADS, copies

COUNTER_BITS = 64
INCREMENT_BITS = 5
"""A counter moves by at most 16 (two ports of 8 bytes) a cycle."""


class Counters(wiring.Component):
    """One 64-bit counter per `cpt.hw.contract.Counter`.

    Members: ``increment``: what to add to each this cycle; ``clear``; ``value``. Indexed by `Counter`. They
    are cleared one after the other: one net would have a load for each of their bits.
    """

    clear_cycles = len(Counter) + 2
    """From ``clear`` until the last counter is 0."""

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
        cleared = Signal(len(Counter), init=-1)
        m.d.sync += cleared.eq(Cat(self.clear, cleared[:-1]))
        for number, increment in enumerate(self.increment):
            # The increment is registered: sums over ports stay off the 64-bit carry chain.
            pending = Signal.like(increment)
            value = Signal(COUNTER_BITS, name=f"count_{number}", reset_less=True)
            m.d.sync += [pending.eq(increment), value.eq(value + pending)]
            for half, clear in enumerate(copies(m, cleared[number], 2, f"clear_{number}")):
                with m.If(clear):
                    m.d.sync += value.word_select(half, MOST_LOADS).eq(0)
            m.d.comb += self.value[number].eq(value)
        return m
