"""How far the addresses of an instruction reach, and whether that leaves its window."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.layouts import RUN_BEATS_WIDTH

ADDRESS_BITS = 32
_LOW_BITS = BEAT_BYTES.bit_length() - 1
BEAT_ADDRESS_BITS = ADDRESS_BITS - _LOW_BITS
COUNT_BITS = 16
"""Width of the widest count, ``blocks``."""
TERMS = 3
"""Blocks, tiles, planes."""

WINDOW = data.StructLayout({"base": ADDRESS_BITS, "limit": ADDRESS_BITS})
"""Byte addresses from ``base`` up to, not including, ``limit``."""


class Reach(wiring.Component):
    """Adds ``(count - 1) * stride`` of blocks, tiles and planes and the last run to a base, bit by bit.

    Everything is exact and unsigned: what goes beyond 4 GB leaves every window. No multiplier: one adder
    and one shift register take a cycle for each bit of the three numbers.

    Members: ``start``; ``base`` and ``strides`` in beats of 8 bytes, stable until ``done``; ``counts``: how
    often each stride is added, that of term ``n`` needed from cycle ``n`` after ``start`` on; ``run``: beats
    of the last run, needed three cycles after ``start``; ``window``; ``done``: level; ``outside``: from the
    cycle after on, some byte lies outside.
    Latency from ``start`` to ``done`` `latency_cycles` and the bit lengths of the three counts.
    """

    latency_cycles = 4

    start: In(1)
    base: In(BEAT_ADDRESS_BITS)
    strides: In(BEAT_ADDRESS_BITS).array(TERMS)
    counts: In(COUNT_BITS).array(TERMS)
    run: In(RUN_BEATS_WIDTH)
    window: In(WINDOW)
    done: Out(1)
    outside: Out(1)

    def elaborate(self, platform):
        m = Module()
        end, term = Signal(BEAT_ADDRESS_BITS), Signal(BEAT_ADDRESS_BITS)
        beyond, term_beyond = Signal(), Signal()
        """Bits above 4 GB that the sum, and the term, have lost."""
        count, index, running = Signal(COUNT_BITS), Signal(range(TERMS)), Signal()

        finished, addend = Signal(), Signal(BEAT_ADDRESS_BITS)
        m.d.comb += finished.eq(count == 0)
        with m.If(finished & (index == TERMS - 1)):
            m.d.comb += addend.eq(self.run)
        with m.Elif(count[0]):
            m.d.comb += addend.eq(term)
        total = Signal(BEAT_ADDRESS_BITS + 1)
        m.d.comb += total.eq(end + addend)

        with m.If(running):
            m.d.sync += [
                end.eq(total),
                beyond.eq(beyond | total[-1] | (count[0] & term_beyond)),
                count.eq(count >> 1),
                term.eq(term << 1),
                term_beyond.eq(term_beyond | term[-1]),
            ]
            with m.If(finished):
                m.d.sync += [index.eq(index + 1), term_beyond.eq(0)]
                with m.Switch(index):
                    for n in range(TERMS - 1):
                        with m.Case(n):
                            m.d.sync += [count.eq(self.counts[n + 1]), term.eq(self.strides[n + 1])]
                    with m.Default():
                        m.d.sync += [running.eq(0), self.done.eq(1)]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                self.done.eq(0),
                end.eq(self.base),
                beyond.eq(0),
                index.eq(0),
                count.eq(self.counts[0]),
                term.eq(self.strides[0]),
                term_beyond.eq(0),
            ]
        low = Const(0, _LOW_BITS)
        m.d.sync += self.outside.eq(
            beyond | (Cat(low, self.base) < self.window.base) | (Cat(low, end) > self.window.limit)
        )
        return m
