"""How far the addresses of an instruction reach, and whether that leaves its window."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.layouts import RUN_BEATS_WIDTH
from cpt.hw.matrix.copies import KEEP, copies

ADDRESS_BITS = 32
_LOW_BITS = BEAT_BYTES.bit_length() - 1
BEAT_ADDRESS_BITS = ADDRESS_BITS - _LOW_BITS
COUNT_BITS = 16
"""Width of the widest count, ``blocks``."""
_HIGH = COUNT_BITS // 2
TERMS = 3
"""Blocks, tiles, planes."""

WINDOW = data.StructLayout({"base": ADDRESS_BITS, "limit": ADDRESS_BITS})
"""Byte addresses from ``base`` up to, not including, ``limit``."""


class Reach(wiring.Component):
    """Adds ``(count - 1) * stride`` of blocks, tiles and planes and the last run to a base, bit by bit.

    Everything is exact and unsigned: what goes beyond 4 GB leaves every window. No multiplier: one adder
    and one shift register take a cycle for each bit of the three numbers. The counts are shifted a step
    ahead of the strides, so that each bit is a register when it chooses what is added.

    Members: ``start``; ``base`` and ``strides`` in beats of 8 bytes, stable until ``done``; ``counts``: how
    often each stride is added, with ``zeros``: not at all, whatever the count; those of term ``n`` are needed
    from ``n`` cycles after ``start`` on; ``run``: beats
    of the last run, needed four cycles after ``start``; ``read_window``, ``write_window``; ``done``: for one
    cycle; ``leaves_read``, ``leaves_write``: some byte lies outside that window, from ``done`` until the
    next ``start``.
    Latency from ``start`` to ``done`` `latency_cycles` and the bit lengths of the three counts.
    """

    latency_cycles = 7

    start: In(1)
    base: In(BEAT_ADDRESS_BITS)
    strides: In(BEAT_ADDRESS_BITS).array(TERMS)
    counts: In(COUNT_BITS).array(TERMS)
    zeros: In(TERMS)
    run: In(RUN_BEATS_WIDTH)
    read_window: In(WINDOW)
    write_window: In(WINDOW)
    done: Out(1)
    leaves_read: Out(1)
    leaves_write: Out(1)

    def elaborate(self, platform):
        m = Module()
        # The bits of the counts, one term after the other; a cycle for "nothing left" ends each.
        count = Signal(COUNT_BITS, reset_less=True)
        high, fresh_high = (Signal(name=name, reset_less=True) for name in ("high", "fresh_high"))
        """Whether one of its upper half's bits is set: of a count that was shifted, that was taken."""
        nothing_left = Signal(reset_less=True)
        at_term = Signal(TERMS)
        ending = Signal(TERMS)
        add = Signal()
        take_run = Signal()
        """Add the term; add the run."""
        shift = Signal(init=1)
        load = [Signal(name=f"load_{n}", attrs=KEEP) for n in range(TERMS)]
        """What the term becomes: twice itself, or the stride of one term."""
        starting = Cat(self.start, ending[:-1])
        m.d.comb += ending.eq(at_term & nothing_left.replicate(TERMS))
        m.d.sync += [
            at_term.eq(starting | (at_term & ~nothing_left.replicate(TERMS))),
            add.eq(at_term.any() & ~nothing_left & count[0]),
            take_run.eq(ending[-1]),
            Cat(load).eq(starting),
            shift.eq(~starting.any()),
            count.eq(count >> 1),
            high.eq(count[_HIGH + 1 :].any() & ~starting.any()),
            fresh_high.eq(Cat(starting[n] & self.counts[n][_HIGH:].any() for n in range(TERMS)).any()),
            nothing_left.eq(~(count[1:_HIGH].any() | high | fresh_high)),
        ]
        for n in range(TERMS):
            with m.If(starting[n]):
                m.d.sync += [count.eq(self.counts[n]), nothing_left.eq(self.zeros[n])]

        # What they choose is added a cycle later. Bits above 4 GB are lost, and that is remembered.
        term = Signal(BEAT_ADDRESS_BITS, reset_less=True)
        end = Signal(BEAT_ADDRESS_BITS, reset_less=True)
        addend = Signal(BEAT_ADDRESS_BITS)
        term_beyond = Signal()
        addend_beyond = Signal()
        beyond = Signal()
        total = Signal(BEAT_ADDRESS_BITS + 1)
        chosen = Mux(load[0], self.strides[0], Mux(load[1], self.strides[1], self.strides[2]))
        m.d.comb += total.eq(end + addend)
        m.d.sync += [
            term.eq(Mux(shift, term << 1, chosen)),
            term_beyond.eq(shift & (term_beyond | term[-1])),
            addend.eq(Mux(take_run, self.run, Mux(add, term, 0))),
            addend_beyond.eq(add & term_beyond),
            end.eq(total),
            beyond.eq(beyond | total[-1] | addend_beyond),
        ]
        half = BEAT_ADDRESS_BITS // 2
        first, second = copies(m, self.start, 2, "begin")
        with m.If(first):
            m.d.sync += [end[:half].eq(self.base[:half]), beyond.eq(0)]
        with m.If(second):
            m.d.sync += end[half:].eq(self.base[half:])

        low = Const(0, _LOW_BITS)
        for window, leaves in (
            (self.read_window, self.leaves_read),
            (self.write_window, self.leaves_write),
        ):
            # The sign of a difference comes straight out of its carry chain.
            below, above = (
                Signal(signed(ADDRESS_BITS + 1), reset_less=True, name=name) for name in ("below", "above")
            )
            m.d.sync += [
                below.eq(Cat(low, self.base) - window.base),
                above.eq(window.limit - Cat(low, end)),
            ]
            m.d.comb += leaves.eq(beyond | below[-1] | above[-1])
        added = Signal()
        final = Signal()
        m.d.sync += [added.eq(take_run), final.eq(added), self.done.eq(final)]
        return m
