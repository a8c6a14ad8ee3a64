"""Shares one AXI read port between two masters."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import ADDRESS, READ_BEAT


class ReadArbiter(wiring.Component):
    """Merges two read masters; the first one has priority.

    Data returns in the order of the addresses (one AXI id), so a queue of tags routes it.

    Parameters: ``max_outstanding``: bursts in flight of both masters together.
    Members: ``ar0``, ``r0``, ``ar1``, ``r1``: the masters; ``ar``, ``r``: the port.
    Latency one cycle for addresses, none for data.
    """

    latency_cycles = MACHINE.arbiter_cycles

    def __init__(self, max_outstanding: int):
        self.max_outstanding = max_outstanding
        super().__init__(
            {
                "ar0": In(stream.Signature(ADDRESS)),
                "r0": Out(stream.Signature(READ_BEAT)),
                "ar1": In(stream.Signature(ADDRESS)),
                "r1": Out(stream.Signature(READ_BEAT)),
                **READ_STREAMS,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.tags = tags = Queue(1, self.max_outstanding)

        free = Signal()
        m.d.comb += [
            free.eq((~self.ar.valid | self.ar.ready) & tags.i.ready),
            self.ar0.ready.eq(free),
            self.ar1.ready.eq(free & ~self.ar0.valid),
            tags.i.valid.eq(free & (self.ar0.valid | self.ar1.valid)),
            tags.i.payload.eq(~self.ar0.valid),
        ]
        with m.If(self.ar.ready):
            m.d.sync += self.ar.valid.eq(0)
        with m.If(tags.i.valid):
            m.d.sync += self.ar.valid.eq(1)
            with m.If(self.ar0.valid):
                m.d.sync += self.ar.payload.eq(self.ar0.payload)
            with m.Else():
                m.d.sync += self.ar.payload.eq(self.ar1.payload)

        to_second = tags.o.payload
        m.d.comb += [
            self.r0.payload.eq(self.r.payload),
            self.r1.payload.eq(self.r.payload),
            self.r0.valid.eq(self.r.valid & tags.o.valid & ~to_second),
            self.r1.valid.eq(self.r.valid & tags.o.valid & to_second),
            self.r.ready.eq(
                (self.r0.ready & tags.o.valid & ~to_second) | (self.r1.ready & tags.o.valid & to_second)
            ),
            tags.o.ready.eq(self.r.valid & self.r.ready & self.r.payload.last),
        ]
        return m
