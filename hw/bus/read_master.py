"""Reads runs of memory over AXI, several bursts in flight."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS, RUN


class ReadMaster(wiring.Component):
    """AXI read master: runs in, data beats out in the same order.

    The consumer must take every beat at once, so it may only ask for what it has room for.

    Parameters: ``max_outstanding`` bursts in flight, a power of two.
    Members: ``runs`` (in); ``ar``, ``r`` (AXI); ``beat_valid``, ``beat`` (`BEAT_BITS`): received data, as it
    comes; ``error``: that beat came with an error response; ``stop``, ``idle``, ``quiet`` as in
    `BurstGenerator`.
    """

    def __init__(self, max_outstanding: int = MACHINE.outstanding_bursts):
        self.max_outstanding = max_outstanding
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                **READ_STREAMS,
                "beat_valid": Out(1),
                "beat": Out(BEAT_BITS),
                **MASTER_STATE,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.generator = generator = BurstGenerator(self.max_outstanding)
        connect(m, flipped(self.runs), generator.runs)
        connect(m, generator.bursts, flipped(self.ar))
        m.d.comb += [
            generator.stop.eq(self.stop),
            generator.finish.eq(self.r.valid & self.r.payload.last),
            self.r.ready.eq(1),
            self.beat_valid.eq(self.r.valid),
            self.beat.eq(self.r.payload.data),
            self.error.eq(self.r.valid & self.r.payload.resp[1]),
            self.quiet.eq(generator.quiet),
            self.idle.eq(generator.idle),
        ]
        return m
