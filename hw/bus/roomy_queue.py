"""Stream FIFO that its writer never fills."""

from amaranth import Cat, Module, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding

SHALLOW = 16
"""Most places whose numbers are compared in few gates; of more, what is held is counted."""


def up(value, step):
    """``value + step`` for a ``step`` of 0 or 1, in gates: pointers are too short for a carry chain."""
    return Cat(bit ^ (step & value[:place].all()) for place, bit in enumerate(value))


class RoomyQueue(wiring.Component):
    """First-in first-out queue with a place for everything that can be under way, so without a ready.

    That spares the way back from where things are taken to where they are made: a port's ready reaches
    nothing but this queue's pointers.

    Parameters: ``shape`` of the payload; ``depth``, a power of two: who pushes counts, and has never more
    entries in here; ``late``: ``o.ready`` comes late, so little stands behind it; ``sure``: it comes for what
    is there alone, so that ``o.valid`` is 1 and nothing is compared.
    Members: ``push``, ``payload``: put in now; ``o``: what was put in, in order, from the next cycle on,
    one a cycle.
    """

    latency_cycles = 1

    def __init__(self, shape, depth: int, *, late: bool = False, sure: bool = False):
        self.depth, self._late, self._sure = depth, late, sure
        self._width = Shape.cast(shape).width
        super().__init__({"push": In(1), "payload": In(shape), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=unsigned(self._width), depth=self.depth, init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        produce, consume = (Signal(range(self.depth), name=name) for name in ("produce", "consume"))
        taken = Signal()
        single = Signal()
        m.d.comb += [
            write.en.eq(self.push),
            write.addr.eq(produce),
            write.data.eq(self.payload),
            read.addr.eq(consume),
            self.o.payload.eq(read.data),
            taken.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += produce.eq(up(produce, self.push))
        if self._late:
            # Gates: a choice would become an enable, a further net.
            two = up(up(consume, 1), 1) == produce
            fewer, more = taken & ~self.push, self.push & ~taken
            m.d.sync += [
                consume.eq(up(consume, taken)),
                single.eq((fewer & two) | (more & ~self.o.valid) | (single & (taken == self.push))),
            ]
        else:
            second = Signal(range(self.depth), init=1)
            with m.If(taken):
                m.d.sync += [consume.eq(second), second.eq(up(second, 1))]
            m.d.comb += single.eq(second == produce)
        if self._sure:
            m.d.comb += self.o.valid.eq(1)
        elif self.depth > SHALLOW and not self._late:
            m.submodules.stored = stored = Outstanding(self.depth)
            m.d.comb += [
                stored.issue.eq(self.push),
                stored.finish.eq(taken),
                self.o.valid.eq(~stored.none),
            ]
        else:
            m.d.sync += self.o.valid.eq(self.push | (self.o.valid & ~(self.o.ready & single)))
        return m
