"""Stream FIFO with a payload of any shape."""

from amaranth import Cat, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import up
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import KEEP

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
        m.submodules.stored = stored = Outstanding(self._depth)
        push = Signal()
        pop = Signal()
        m.d.comb += [
            self.i.ready.eq(~stored.full),
            self.o.valid.eq(~stored.none),
            self.empty.eq(stored.none),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.ready & self.o.valid),
            stored.issue.eq(push),
            stored.finish.eq(pop),
        ]

        # There is always a place more than entries, and the next one is written in every cycle: the last
        # value before it counts stays. So no write enable reaches all the memory.
        places = 1 << self._depth.bit_length()
        width = Shape.cast(self._shape).width
        most = BANK_BITS if places <= SHALLOW else BANK_BITS // 2
        bank_bits = -(-width // -(-width // most))
        read, pointers = [], {"produce": [], "consume": []}
        for bank, low in enumerate(range(0, width, bank_bits)):
            part = Value.cast(self.i.payload)[low : low + bank_bits]
            memory = Memory(shape=unsigned(len(part)), depth=places, init=[])
            m.submodules[f"storage_{bank}"] = memory
            writer, reader = memory.write_port(), memory.read_port(domain="comb")
            for name, copies in pointers.items():
                copies.append(Signal(range(places), name=f"{name}_{bank}", attrs=KEEP))
            m.d.comb += [
                writer.en.eq(1),
                writer.addr.eq(pointers["produce"][bank]),
                writer.data.eq(part),
                reader.addr.eq(pointers["consume"][bank]),
            ]
            read.append(reader.data)
        m.d.comb += self.o.payload.eq(Cat(read))
        # All follow the first, so that what moves them reaches one, and where they move to stands ready.
        for (name, copies), moves in zip(pointers.items(), (push, pop), strict=True):
            following = Signal(range(places), name=f"{name}_following", init=1)
            after = Signal.like(copies[0], name="after")
            m.d.comb += after.eq(Mux(moves, following, copies[0]))
            m.d.sync += following.eq(Mux(moves, up(following, 1), following))
            m.d.sync += [pointer.eq(after) for pointer in copies]
        return m
