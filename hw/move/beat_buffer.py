"""Beats from memory that were asked for, until they are handed on."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.layouts import BEAT_BITS, RUN_BEATS_WIDTH
from cpt.hw.move.stretches import ASKED_BEATS

BUFFER_BEATS = 512
"""Beats asked for and not yet handed on: one block RAM, four times what is in flight."""
_READ_CYCLES = 2
"""Of the block RAM: its latch and its register."""
_READS = 8
"""Beats between block RAM and output, at most."""
BEATS_ASKED_FOR = {
    "taken": In(1),
    "beats": In(RUN_BEATS_WIDTH),
    "room": Out(1),
    "beat_valid": In(1),
    "beat": In(BEAT_BITS),
}
"""Members of a component that `BeatBuffer` is a part of."""


class BeatBuffer(wiring.Component):
    """Room for beats that are asked for; they leave as a stream.

    Members: ``taken``: a run of ``beats`` is asked for now; ``room``: another of `ASKED_BEATS` may be, two
    cycles after the last; ``beat_valid``, ``beat``: of the read master; ``o`` (out), a beat a cycle.
    """

    def __init__(self):
        super().__init__(
            {
                **BEATS_ASKED_FOR,
                "o": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=unsigned(BEAT_BITS), depth=BUFFER_BEATS, init=[])
        m.submodules.memory = memory
        m.submodules.reads = reads = Outstanding(_READS)
        m.submodules.queue = queue = WideQueue(BEAT_BITS, _READS)
        connect(m, queue.o, flipped(self.o))
        write, read = memory.write_port(), memory.read_port()
        produce = Signal(range(BUFFER_BEATS))
        consume = Signal(range(BUFFER_BEATS))
        stored = Signal(range(BUFFER_BEATS + 1))
        """Beats to read. One that is there in any case is read: looked at a cycle late."""
        one = Signal()
        two = Signal()
        before = Signal()
        arrived = Signal()
        beat = Signal(BEAT_BITS, reset_less=True)
        fetch = Signal()
        out = Signal()
        m.d.sync += [arrived.eq(self.beat_valid), beat.eq(self.beat)]
        m.d.comb += [
            write.en.eq(arrived),
            write.addr.eq(produce),
            write.data.eq(beat),
            read.en.eq(1),
            read.addr.eq(consume),
            fetch.eq((two | (one & ~before)) & ~reads.full),
            reads.issue.eq(fetch),
            out.eq(self.o.valid & self.o.ready),
            reads.finish.eq(out),
        ]
        m.d.sync += [
            stored.eq(stored + arrived - fetch),
            one.eq(stored != 0),
            two.eq(stored[1:].any()),
            before.eq(fetch),
        ]
        with m.If(arrived):
            m.d.sync += produce.eq(produce + 1)
        with m.If(fetch):
            m.d.sync += consume.eq(consume + 1)
        held = Signal(BEAT_BITS, reset_less=True)
        coming = Signal(_READ_CYCLES)
        m.d.sync += [held.eq(read.data), coming.eq(Cat(fetch, coming))]
        m.d.comb += [queue.push.eq(coming[-1].replicate(PUSHES)), queue.payload.eq(held)]

        # Places are free again when their beat has left the block RAM.
        free = Signal(range(BUFFER_BEATS + 1), init=BUFFER_BEATS)
        asked = Signal(range(ASKED_BEATS + 1))
        m.d.sync += [
            asked.eq(Mux(self.taken, self.beats, 0)),
            free.eq(free - asked + before),
            self.room.eq(free[ASKED_BEATS.bit_length() - 1 :].any() & ~self.taken & (asked == 0)),
        ]
        return m
