"""Stream FIFO that its writer never fills."""

from amaranth import Cat, Module, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding


def up(value, step):
    """``value + step`` for a ``step`` of 0 or 1, in gates: pointers are too short for a carry chain."""
    return Cat(bit ^ (step & value[:place].all()) for place, bit in enumerate(value))


class RoomyQueue(wiring.Component):
    """First-in first-out queue with a place for everything that can be under way, so without a ready.

    That spares the way back from where things are taken to where they are made: a port's ready reaches
    nothing but this queue's pointers.

    Parameters: ``shape`` of the payload; ``depth``, a power of two: who pushes counts, and has never more
    entries in here.
    Members: ``push``, ``payload``: put in now; ``o``: what was put in, in order, from the next cycle on,
    one a cycle.
    """

    latency_cycles = 1

    def __init__(self, shape, depth: int):
        self.depth = depth
        self._width = Shape.cast(shape).width
        super().__init__({"push": In(1), "payload": In(shape), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=unsigned(self._width), depth=self.depth, init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        produce, consume = (Signal(range(self.depth), name=name) for name in ("produce", "consume"))
        m.submodules.held = held = Outstanding(self.depth)
        taken = Signal()
        m.d.comb += [
            write.en.eq(self.push),
            write.addr.eq(produce),
            write.data.eq(self.payload),
            read.addr.eq(consume),
            self.o.payload.eq(read.data),
            held.issue.eq(self.push),
            held.finish.eq(taken),
            self.o.valid.eq(~held.none),
            taken.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += [produce.eq(up(produce, self.push)), consume.eq(up(consume, taken))]
        return m
