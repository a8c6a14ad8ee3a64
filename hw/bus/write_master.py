"""Writes runs of memory over AXI, several bursts in flight."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, WRITE_STREAMS
from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.contract.config import BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import RUN

_LENGTH = data.StructLayout({"rest": (BURST_BEATS - 1).bit_length(), "single": 1})
"""Beats of a burst after the first, and whether there are none."""


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

    def __init__(self, max_outstanding: int = MACHINE.outstanding_bursts):
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
        m.submodules.outstanding = outstanding = Outstanding(self.max_outstanding)
        m.d.comb += [
            outstanding.issue.eq(generator.issue),
            outstanding.finish.eq(self.b.valid),
            generator.enable.eq(~self.stop & ~outstanding.full),
            self.aw.valid.eq(generator.bursts.valid),
            self.aw.payload.eq(generator.bursts.payload),
            generator.bursts.ready.eq(self.aw.ready),
            self.b.ready.eq(1),
            self.error.eq(self.b.valid & self.b.payload[1]),
            self.quiet.eq(outstanding.none),
            self.idle.eq(generator.idle & self.quiet),
        ]

        # Lengths of the bursts whose beats have not begun; never full, as it holds at most one for each burst
        # in flight. The burst whose beats are sent is out of it already, with its end counted.
        m.submodules.lengths = lengths = Queue(_LENGTH, self.max_outstanding)
        issued = Signal()
        length = Signal(_LENGTH)
        sending = Signal()
        last = Signal()
        left = Signal(_LENGTH["rest"].shape, reset_less=True)
        step = Signal()
        follow = Signal()
        m.d.sync += issued.eq(generator.issue)
        m.d.comb += [
            length.rest.eq(self.aw.payload.len),
            length.single.eq(self.aw.payload.len == 0),
            step.eq(~self.w.valid | self.w.ready),
            self.beats.ready.eq(sending & step),
            follow.eq(~sending | (self.beats.valid & step & last)),
            lengths.i.payload.eq(length),
            lengths.i.valid.eq(issued & (lengths.o.valid | ~follow)),
            lengths.o.ready.eq(follow),
        ]
        with m.If(follow):
            following = Mux(lengths.o.valid, lengths.o.payload.as_value(), length.as_value())
            following = data.View(_LENGTH, following)
            m.d.sync += [
                sending.eq(lengths.o.valid | issued),
                last.eq(following.single),
                left.eq(following.rest),
            ]
        with m.Elif(self.beats.valid & step):
            m.d.sync += [last.eq(left == 1), left.eq(left - 1)]
        with m.If(step):
            m.d.sync += [
                self.w.valid.eq(sending & self.beats.valid),
                self.w.payload.data.eq(self.beats.payload),
            ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += self.w.payload.last.eq(last)
        return m
