"""Writes runs of memory over AXI, several bursts in flight."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, WRITE_STREAMS
from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue, up
from cpt.hw.contract.config import BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP

_LENGTH = data.StructLayout({"rest": (BURST_BEATS - 1).bit_length(), "single": 1})
"""Beats of a burst after the first, and whether there are none."""


_BANK_BITS = BEAT_BITS // 2
"""Bits of a beat that share pointers: memory in LUTs has three address pins for six bits."""


class Beats(wiring.Component):
    """Beats on their way to the port: the port's ready reaches pointers only, the producer sees a register.

    Members: ``i``, ``o``; a beat taken in is offered from the next cycle on, one a cycle.
    Parameters: ``depth``, a power of two, at least 2.
    """

    def __init__(self, depth: int = MACHINE.write_beats):
        self.depth = depth
        super().__init__({"i": In(stream.Signature(BEAT_BITS)), "o": Out(stream.Signature(BEAT_BITS))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.stored = stored = Outstanding(self.depth)
        push = Signal()
        pop = Signal()
        m.d.comb += [
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            stored.issue.eq(push),
            stored.finish.eq(pop),
            self.i.ready.eq(~stored.full),
            self.o.valid.eq(~stored.none),
        ]
        for half in range(2):
            part = slice(_BANK_BITS * half, _BANK_BITS * (half + 1))
            memory = Memory(shape=unsigned(_BANK_BITS), depth=self.depth, init=[])
            m.submodules[f"memory_{half}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            produce = Signal(range(self.depth), name=f"produce_{half}", attrs=KEEP)
            consume = Signal(range(self.depth), name=f"consume_{half}", attrs=KEEP)
            m.d.sync += [produce.eq(up(produce, push)), consume.eq(up(consume, pop))]
            m.d.comb += [
                write.en.eq(push),
                write.addr.eq(produce),
                write.data.eq(self.i.payload[part]),
                read.addr.eq(consume),
                self.o.payload[part].eq(read.data),
            ]
        return m


class WriteMaster(wiring.Component):
    """AXI write master: runs and, in the same order, the data beats for them.

    Data follows the issue of the address it belongs to, but does not wait until that is accepted: a slave may
    want to see both. Up to ``write_beats`` beats are taken before. Once a burst is issued its beats are sent
    whatever ``stop`` says, so the producer of ``beats`` must not depend on anything that stops.

    Parameters: ``max_outstanding`` bursts without a response, a power of two.
    Members: ``runs``, ``beats`` (in); ``aw``, ``w``, ``b`` (AXI; ``b`` carries the response code);
    ``error``: a response of the cycle before was an error; ``answered``: the response of the cycle before was
    a run's last, and runs are answered in order; ``stop``, ``idle``, ``quiet`` as in
    `BurstGenerator`, where a burst is in flight until its response; neither comes before ``error``.
    """

    def __init__(self, max_outstanding: int = MACHINE.outstanding_bursts):
        self.max_outstanding = max_outstanding
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                "beats": In(stream.Signature(BEAT_BITS)),
                **WRITE_STREAMS,
                **MASTER_STATE,
                "answered": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.generator = generator = BurstGenerator(self.max_outstanding)
        connect(m, flipped(self.runs), generator.runs)
        connect(m, generator.bursts, flipped(self.aw))
        m.d.comb += [
            generator.stop.eq(self.stop),
            generator.finish.eq(self.b.valid),
            self.b.ready.eq(1),
            self.quiet.eq(generator.quiet & ~self.error),
            self.idle.eq(generator.idle & ~self.error),
        ]
        m.d.sync += self.error.eq(self.b.valid & self.b.payload[1])

        # A cycle late, for the loads of ``issue``: no response comes so soon.
        m.submodules.ends = ends = RoomyQueue(1, self.max_outstanding, sure=True)
        m.d.sync += [ends.push.eq(generator.issue), ends.payload.eq(generator.ends)]
        m.d.comb += ends.o.ready.eq(self.b.valid)
        m.d.sync += self.answered.eq(self.b.valid & ends.o.payload)

        # Lengths of the bursts whose beats have not begun. The burst whose beats are sent is out of it
        # already, with its end counted.
        m.submodules.lengths = lengths = RoomyQueue(_LENGTH, self.max_outstanding, late=True)
        m.submodules.waiting = waiting = Beats()
        connect(m, flipped(self.beats), waiting.i)
        sending = Signal()
        last = Signal()
        left = Signal(_LENGTH["rest"].shape, reset_less=True)
        sent = Signal()
        follow = Signal()
        m.d.comb += [
            self.w.valid.eq(sending & waiting.o.valid),
            self.w.payload.data.eq(waiting.o.payload),
            self.w.payload.last.eq(last),
            waiting.o.ready.eq(sending & self.w.ready),
            sent.eq(self.w.valid & self.w.ready),
            follow.eq(~sending | (sent & last)),
            lengths.push.eq(generator.issue),
            lengths.payload.eq(Cat(generator.rest, generator.rest == 0)),
            lengths.o.ready.eq(follow),
        ]
        with m.If(follow):
            m.d.sync += [
                sending.eq(lengths.o.valid),
                last.eq(lengths.o.payload.single),
                left.eq(lengths.o.payload.rest),
            ]
        with m.Elif(sent):
            m.d.sync += [last.eq(left == 1), left.eq(left - 1)]
        return m
