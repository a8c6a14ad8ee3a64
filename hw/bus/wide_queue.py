"""A roomy queue for wide payloads: copies of its pointers, none with too many loads."""

from amaranth import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import SHALLOW, up
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

PUSHES = 2
"""Copies of ``push``, that share its loads, unless told otherwise."""
_DOUBLE = 32
"""Most places whose memories hold twice as many bits for a load of their address."""


class WideQueue(wiring.Component):
    """As `RoomyQueue`, for any width: parts of the payload have pointers of their own, which move together.

    Parameters: ``shape`` of the payload; ``depth``, a power of two: who pushes counts, and has never more
    entries in here; ``pushes``: copies of ``push``; ``early``: first and behind the last of bits that are
    shown as registers too.
    Members: ``push``, as so many copies, ``payload``: put in now; ``o``: what was put in, in order, from the
    next cycle on, one a cycle; ``early``: those bits of it.
    """

    latency_cycles = 1

    def __init__(self, shape, depth: int, pushes: int = PUSHES, early: tuple[int, int] = (0, 0)):
        self.depth, self.pushes = depth, pushes
        self._width = Shape.cast(shape).width
        self._early = slice(*early)
        super().__init__(
            {
                "push": In(pushes),
                "payload": In(shape),
                "o": Out(stream.Signature(shape)),
                "early": Out(early[1] - early[0]),
            }
        )

    def elaborate(self, platform):
        m = Module()
        part_bits = 48 if self.depth <= _DOUBLE else 24
        taken = Signal()
        single = Signal()
        given = Signal(self._width)
        m.d.comb += [given.eq(self.payload), taken.eq(self.o.valid & self.o.ready)]
        produce, consume = [], []
        parts = []
        for n, first in enumerate(range(0, self._width, part_bits)):
            part = given[first : first + part_bits]
            memory = Memory(shape=unsigned(len(part)), depth=self.depth, init=[])
            m.submodules[f"memory_{n}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            for pointers, name in ((produce, "produce"), (consume, "consume")):
                pointers.append(Signal(range(self.depth), name=f"{name}_{n}", attrs=KEEP))
            m.d.comb += [
                write.en.eq(self.push[n % self.pushes]),
                write.addr.eq(produce[n]),
                write.data.eq(part),
                read.addr.eq(consume[n]),
            ]
            parts.append(read.data)
        after = Signal(range(self.depth))
        second = Signal(range(self.depth), init=1)
        """Behind what is shown: a register, as what is taken comes late."""
        m.d.comb += [
            after.eq(up(produce[0], self.push[0])),
            self.o.payload.eq(Cat(parts)),
        ]
        if len(consume) * len(second) > MOST_LOADS // 2:  # too many for one enable
            following = Signal.like(second)
            m.d.comb += following.eq(Mux(taken, second, consume[0]))
            m.d.sync += [
                second.eq(Mux(taken, up(second, 1), second)),
                *(pointer.eq(following) for pointer in consume),
            ]
        else:
            with m.If(taken):
                m.d.sync += [second.eq(up(second, 1)), *(pointer.eq(second) for pointer in consume)]
        m.d.sync += [pointer.eq(after) for pointer in produce]
        if len(self.early):
            m.submodules.behind = behind = Memory(shape=unsigned(len(self.early)), depth=self.depth, init=[])
            write, read = behind.write_port(), behind.read_port(domain="comb")
            came = given[self._early]
            m.d.comb += [
                write.en.eq(self.push[0]),
                write.addr.eq(produce[0]),
                write.data.eq(came),
                read.addr.eq(second),
            ]
            next_one = Mux(second == produce[0], came, read.data)
            m.d.sync += self.early.eq(Mux(taken, next_one, Mux(self.o.valid, self.early, came)))
        if self.depth > SHALLOW:
            m.submodules.stored = stored = Outstanding(self.depth)
            m.d.comb += [
                stored.issue.eq(self.push[0]),
                stored.finish.eq(taken),
                self.o.valid.eq(~stored.none),
            ]
        else:
            m.d.comb += single.eq(second == produce[0])
            m.d.sync += self.o.valid.eq(self.push[0] | (self.o.valid & ~(self.o.ready & single)))
        return m
