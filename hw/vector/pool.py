"""A number for each channel of one image: sums of POOL on their way to local memory, gradients from there."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.ports import PAIR, WORD_BITS, local_read, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import FIELD, LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.channel_numbers import ChannelNumbers
from cpt.hw.vector.ports import NUMBER_BITS
from cpt.hw.vector.statistics import Statistics

POOLED = data.StructLayout({"local": range(LOCAL_WORDS), "channels": range(FIELD)})
"""Where the numbers of an image lie in local memory, and how many."""

_LOOK_CYCLES = 3
"""From a channel that is asked for to its number."""


class Pool(wiring.Component):
    """Sums words up by channel, as `Statistics` does, and takes numbers to local memory and from there.

    Members: ``fill``, ``flush``: get the numbers at ``place``, which was there a cycle before, or put them
    there; ``busy`` from the next cycle until that is done. ``count``, ``channel``, ``clear``, ``total``: as
    `Statistics` has them. ``asked``: a channel, ``pooled``: its number `latency_cycles` later, cut to a word
    of scratch, or 0 where ``real`` is not set `real_cycles` later.
    """

    latency_cycles = 4
    real_cycles = 3
    numbers_cycles = Statistics.numbers_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "fill": In(1),
                "flush": In(1),
                "place": In(POOLED),
                "busy": Out(1),
                "count": In(1),
                "channel": In(range(config.channels)),
                "clear": In(1),
                "total": In(signed(WORD_BITS)),
                "asked": In(range(config.channels)),
                "real": In(1),
                "pooled": Out(signed(ACC_BITS)),
                "local_read": Out(local_read()),
                "local_write": Out(local_write()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        parts = {"sum": signed(WORD_BITS)}
        m.submodules.numbers = numbers = ChannelNumbers(self.config.channels, parts, 1)
        held = numbers.found_0.sum

        local = Signal(range(LOCAL_WORDS))
        channel = Signal.like(self.channel)
        left = Signal.like(self.place.channels)
        last = Signal()
        some = Signal()
        any_there = Signal()
        """One number is left; some are; there are at the place. They follow a cycle later."""
        over = Signal()
        goes_on = Signal(2)
        """Filling, flushing, from the next cycle on."""
        filling, of_address, of_data = copies(m, goes_on[0], 3, "filling", reset_less=False)
        (flushing,) = copies(m, goes_on[1], 1, "flushing", reset_less=False)
        works, moves = copies(m, goes_on.any(), 2, "works", reset_less=False)
        taken = Signal()
        steps, counts_down = copies(m, taken, 2, "steps", reset_less=False)
        """A number was taken or given, in the cycle before."""
        m.d.comb += [
            goes_on.eq(Cat(self.fill, self.flush) | (Cat(filling, flushing) & ~over.replicate(2))),
            self.busy.eq(works),
        ]
        m.d.sync += [
            last.eq(left == 1),
            any_there.eq(self.place.channels != 0),
        ]
        with m.If(~works):
            m.d.sync += [left.eq(self.place.channels), some.eq(any_there)]
        with m.If(~moves):
            m.d.sync += [local.eq(self.place.local), channel.eq(0)]

        # Words counted: read, added and written as in statistics.
        counted = Signal(signed(WORD_BITS), reset_less=True)
        asked = Signal.like(channel, reset_less=True)
        channels, counts = [self.channel], [self.count]
        for n in range(self.numbers_cycles + 1):
            channels.append(Signal.like(channel, name=f"channel_{n}", reset_less=True))
            counts.append(Signal(name=f"count_{n}"))
            m.d.sync += [channels[n + 1].eq(channels[n]), counts[n + 1].eq(counts[n])]
        m.d.sync += [
            counted.eq(self.total + Mux(self.clear, 0, held)),
            asked.eq(self.asked),
        ]
        number = Signal(NUMBER_BITS - 1, reset_less=True)
        m.d.sync += number.eq(held[: len(number)] & self.real.replicate(len(number)))
        signs = copies(m, held[len(number)] & self.real, 2, "sign")
        m.d.comb += self.pooled.eq(
            Cat(number, signs[0].replicate(NUMBER_BITS + 1), signs[1].replicate(ACC_BITS - 2 * NUMBER_BITS))
        )
        came = Signal(signed(WORD_BITS), reset_less=True)
        """From local memory, a cycle after it was there."""
        writes, beyond = counts[-1] | (steps & of_address), numbers.beyond(numbers.into)
        m.d.comb += [
            numbers.into.eq(Mux(of_address, channel, channels[-1])),
            numbers.data.sum.eq(Mux(of_data, came, counted)),
            numbers.write.eq(writes & ~beyond),
            numbers.write_beyond.eq(writes & beyond),
            numbers.addr_0.eq(Mux(flushing, channel, Mux(counts[1], channels[1], asked))),
        ]

        # To local memory and from it, a number at a time: one is asked for or looked up when that before is
        # through.
        write, read = self.local_write, self.local_read
        (odd,) = copies(m, local[0], 1, "odd")
        even = Signal()
        begun = Signal()
        looks = Signal(_LOOK_CYCLES)
        comes = Signal(MACHINE.local_cycles)
        following = Signal()
        m.d.comb += [
            write.next.eq(looks[-1] | write.valid),
            following.eq((begun | steps) & some),
            over.eq((begun | steps) & ~some),
            taken.eq(comes[-1] | (write.valid & write.ready)),
            write.addr.eq(local[1:]),
            write.en.eq(Cat(even, ~even)),
            read.addr.eq(local[1:]),
        ]
        m.d.sync += [
            begun.eq(self.fill | self.flush),
            even.eq(~local[0]),
            came.eq(Mux(odd, read.data[1], read.data[0]).as_signed()),
            read.valid.eq((following & filling) | (read.valid & ~read.ready)),
            comes.eq(Cat(read.valid & read.ready, comes)),
            looks.eq(Cat(following & flushing, looks)),
            write.valid.eq(looks[-1] | (write.valid & ~write.ready)),
        ]
        for n in range(PAIR):
            m.d.comb += write.data[n].eq(held)
        with m.If(steps):
            m.d.sync += [local.eq(local + 1), channel.eq(channel + 1)]
        with m.If(counts_down):
            m.d.sync += left.eq(left - 1)
        with m.If(taken):
            m.d.sync += some.eq(~last)
        return m
