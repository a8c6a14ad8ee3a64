"""A number for each channel of one image: sums of POOL on their way to local memory, gradients from there."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.ports import PAIR, WORD_BITS, local_read, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import CHANNELS, LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.vector.ports import NUMBER_BITS
from cpt.hw.vector.reduction import sums
from cpt.hw.vector.statistics import Statistics

POOLED = data.StructLayout({"local": range(LOCAL_WORDS), "channels": range(2 * CHANNELS)})
"""Where the numbers of an image lie in local memory, and how many."""


class Pool(wiring.Component):
    """Sums words up by channel, as `Statistics` does, and takes numbers to local memory and from there.

    Members: ``fill``, ``flush``: get the numbers at ``place``, or put them there; ``busy`` from the next
    cycle until that is done. ``count``, ``channel``, ``clear``, ``total``: as `Statistics` has them.
    ``asked``: a channel, ``pooled``: its number `latency_cycles` later, cut to a word of scratch.
    """

    latency_cycles = 3
    numbers_cycles = Statistics.numbers_cycles

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "fill": In(1),
                "flush": In(1),
                "place": In(POOLED),
                "busy": Out(1),
                "count": In(1),
                "channel": In(range(CHANNELS)),
                "clear": In(1),
                "total": In(sums(config)["total"]),
                "asked": In(range(CHANNELS)),
                "pooled": Out(signed(NUMBER_BITS)),
                "local_read": Out(local_read()),
                "local_write": Out(local_write()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=signed(WORD_BITS), depth=CHANNELS, init=[])
        into, out = memory.write_port(), memory.read_port()
        held = Signal(signed(WORD_BITS), reset_less=True)
        m.d.sync += held.eq(out.data)

        local = Signal(range(LOCAL_WORDS))
        channel = Signal(range(CHANNELS))
        left = Signal(range(2 * CHANNELS))
        filling = Signal()
        flushing = Signal()
        m.d.comb += self.busy.eq(filling | flushing)
        with m.If(self.fill | self.flush):
            m.d.sync += [
                filling.eq(self.fill),
                flushing.eq(self.flush),
                local.eq(self.place.local),
                left.eq(self.place.channels),
                channel.eq(0),
            ]

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
        m.d.comb += [
            self.pooled.eq(held),
            into.addr.eq(channels[-1]),
            into.data.eq(counted),
            into.en.eq(counts[-1]),
            out.addr.eq(Mux(counts[1], channels[1], asked)),
        ]

        # To local memory and from it: a number at a time.
        wait = Signal(range(MACHINE.local_cycles + 2))
        odd = Signal()
        write, read = self.local_write, self.local_read
        m.d.comb += [
            write.addr.eq(local[1:]),
            write.en.eq(Mux(local[0], 0b10, 0b01)),
            read.addr.eq(local[1:]),
            odd.eq(local[0]),
        ]
        for n in range(PAIR):
            m.d.comb += write.data[n].eq(held)
        following = [local.eq(local + 1), channel.eq(channel + 1), left.eq(left - 1)]
        with m.FSM():
            with m.State("REST"):
                m.d.sync += wait.eq(0)
                with m.If(filling & (left != 0)):
                    m.next = "ASK"
                with m.Elif(flushing & (left != 0)):
                    m.next = "LOOK"
                with m.Else(), m.If(~(self.fill | self.flush)):
                    m.d.sync += [filling.eq(0), flushing.eq(0)]
            with m.State("ASK"):
                m.d.comb += read.valid.eq(1)
                with m.If(read.ready):
                    m.d.sync += wait.eq(MACHINE.local_cycles)
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    m.d.comb += [
                        into.addr.eq(channel),
                        into.data.eq(Mux(odd, read.data[1], read.data[0]).as_signed()),
                        into.en.eq(1),
                    ]
                    m.d.sync += following
                    m.next = "REST"
            with m.State("LOOK"):
                m.d.comb += out.addr.eq(channel)
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == 2):
                    m.next = "PUT"
            with m.State("PUT"):
                m.d.comb += [out.addr.eq(channel), write.valid.eq(1)]
                with m.If(write.ready):
                    m.d.sync += [*following, wait.eq(0)]
                    m.next = "REST"
        return m
