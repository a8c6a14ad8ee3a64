"""Stream FIFO with a payload of any shape."""

from amaranth import Cat, Module, Shape, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

BANK_BITS = 48
"""Bits of the payload that share pointers: memory in LUTs has three address pins for six bits."""
SHALLOW = 32
"""Most places whose memories are of that kind; of up to twice as many it has as many pins for three bits."""


class Queue(wiring.Component):
    """First-in first-out queue.

    Parameters: ``shape`` of the payload, ``depth`` in entries.
    Members: ``i`` and ``o`` streams, ``empty`` while nothing is stored.
    Latency one cycle, one transfer per cycle on each side. ``i.ready`` and ``o.valid`` are registers.
    """

    latency_cycles = MACHINE.queue_cycles

    def __init__(self, shape, depth: int):
        self._shape, self._depth = shape, depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        filled = Signal(self._depth)
        """As many ones from the lowest bit on as there are entries."""
        ready = Signal()
        valid = Signal()
        push = Signal()
        pop = Signal()
        m.d.comb += [
            ready.eq(~filled[-1]),
            valid.eq(filled[0]),
            self.i.ready.eq(ready),
            self.o.valid.eq(valid),
            self.empty.eq(~filled[0]),
            push.eq(self.i.valid & ready),
            pop.eq(self.o.ready & valid),
        ]
        # Each bit in one LUT: synthesis would make enables and resets of conditions, one LUT further away.
        shared = KEEP if self._depth > MOST_LOADS else {}
        for place in range(self._depth):
            if place % MOST_LOADS == 0:
                more, fewer = (Signal(name=f"{name}_{place}", attrs=shared) for name in ("more", "fewer"))
                m.d.comb += [more.eq(push & ~pop), fewer.eq(pop & ~push)]
            below = filled[place - 1] if place else 1
            above = filled[place + 1] if place + 1 < self._depth else 0
            m.d.sync += filled[place].eq((more & below) | (fewer & above) | (filled[place] & ~more & ~fewer))

        # There is always a place more than entries, and the next one is written in every cycle: the last
        # value before it counts stays. So no write enable reaches all the memory.
        places = 1 << self._depth.bit_length()
        width = Shape.cast(self._shape).width
        most = BANK_BITS if places <= SHALLOW else BANK_BITS // 2
        bank_bits = -(-width // -(-width // most))
        read = []
        for bank, low in enumerate(range(0, width, bank_bits)):
            part = Value.cast(self.i.payload)[low : low + bank_bits]
            memory = Memory(shape=unsigned(len(part)), depth=places, init=[])
            m.submodules[f"storage_{bank}"] = memory
            writer, reader = memory.write_port(), memory.read_port(domain="comb")
            produce, consume = (
                Signal(range(places), name=f"{name}_{bank}", attrs=KEEP) for name in ("produce", "consume")
            )
            with m.If(push):
                m.d.sync += produce.eq(produce + 1)
            with m.If(pop):
                m.d.sync += consume.eq(consume + 1)
            m.d.comb += [
                writer.en.eq(1),
                writer.addr.eq(produce),
                writer.data.eq(part),
                reader.addr.eq(consume),
            ]
            read.append(reader.data)
        m.d.comb += self.o.payload.eq(Cat(read))
        return m
