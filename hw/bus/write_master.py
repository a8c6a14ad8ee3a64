"""Writes runs of memory over AXI, several bursts in flight."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, WRITE_STREAMS
from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.bus.read_master import MAX_OUTSTANDING
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import RUN


class WriteMaster(wiring.Component):
    """AXI write master: runs and, in the same order, the data beats for them.

    Data follows the address it belongs to, but does not wait until that is accepted: a slave may want to see
    both. Once an address is out its beats are sent whatever ``stop`` says, so the producer of ``beats`` must
    not depend on anything that stops.

    Parameters: ``max_outstanding`` bursts without a response.
    Members: ``runs``, ``beats`` (in); ``aw``, ``w``, ``b`` (AXI; ``b`` carries the response code);
    ``stop``: issue no new address; ``error``: a response was an error; ``idle``: nothing held or unanswered;
    ``quiet``: nothing unanswered.
    """

    def __init__(self, max_outstanding: int = MAX_OUTSTANDING):
        self.max_outstanding = max_outstanding
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                "beats": In(stream.Signature(64)),
                **WRITE_STREAMS,
                **MASTER_STATE,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.generator = generator = BurstGenerator()
        connect(m, flipped(self.runs), generator.runs)
        outstanding = Signal(range(self.max_outstanding + 1))
        m.d.comb += [
            generator.enable.eq(~self.stop & (outstanding != self.max_outstanding)),
            self.aw.valid.eq(generator.bursts.valid),
            self.aw.payload.eq(generator.bursts.payload),
            generator.bursts.ready.eq(self.aw.ready),
            self.b.ready.eq(1),
            self.error.eq(self.b.valid & self.b.payload[1]),
            self.quiet.eq(outstanding == 0),
            self.idle.eq(generator.idle & self.quiet),
        ]
        m.d.sync += outstanding.eq(outstanding + generator.issue - self.b.valid)

        # The queue never fills: it holds at most one length per outstanding burst.
        m.submodules.lengths = lengths = Queue(8, self.max_outstanding)
        issued = Signal()
        m.d.sync += issued.eq(generator.issue)
        m.d.comb += [lengths.i.valid.eq(issued), lengths.i.payload.eq(self.aw.payload.len)]

        index = Signal(8)
        last = Signal()
        load = Signal()
        m.d.comb += [
            last.eq(index == lengths.o.payload),
            load.eq(lengths.o.valid & self.beats.valid & (~self.w.valid | self.w.ready)),
            self.beats.ready.eq(lengths.o.valid & (~self.w.valid | self.w.ready)),
            lengths.o.ready.eq(load & last),
        ]
        with m.If(self.w.ready):
            m.d.sync += self.w.valid.eq(0)
        with m.If(load):
            m.d.sync += [
                self.w.valid.eq(1),
                self.w.payload.data.eq(self.beats.payload),
                self.w.payload.last.eq(last),
                index.eq(index + 1),
            ]
            with m.If(last):
                m.d.sync += index.eq(0)
        return m
