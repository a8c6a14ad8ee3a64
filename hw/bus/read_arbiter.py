"""Shares one AXI read port between two masters."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.wide_queue import WideQueue
from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import ADDRESS, READ_BEAT
from cpt.hw.matrix.copies import copies

_LOW = (BEAT_BYTES - 1).bit_length()
_LEN_BITS = (BURST_BEATS - 1).bit_length()
_BURST = data.StructLayout({"word": 32 - _LOW, "len": _LEN_BITS})
"""What of an address is not always the same."""


class ReadArbiter(wiring.Component):
    """Merges two read masters; the first one has priority.

    Data returns in the order of the addresses (one AXI id), so a queue of tags routes it. Who is accepted is
    decided a cycle before, from registers, so each master has an address accepted every second cycle at most.

    Parameters: ``max_outstanding``: bursts in flight of both masters together, a power of two; they count.
    Members: ``ar0``, ``r0``, ``ar1``, ``r1``: the masters, which take every beat at once; ``ar``, ``r``: the
    port.
    Latency two cycles for addresses (`latency_cycles`), one for data (`data_latency_cycles`).
    """

    latency_cycles = MACHINE.arbiter_cycles
    data_latency_cycles = MACHINE.arbiter_data_cycles

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
        m.submodules.addresses = addresses = WideQueue(_BURST, self.max_outstanding)
        m.submodules.tags = tags = RoomyQueue(1, self.max_outstanding, sure=True)

        first = Signal()
        second = Signal()
        pushes = copies(m, first | second, addresses.pushes + 1, "push", reset_less=False)
        m.d.comb += [
            first.eq(self.ar0.valid & ~self.ar0.ready),
            second.eq(self.ar1.valid & ~self.ar1.ready & ~first),
        ]
        m.d.sync += [self.ar0.ready.eq(first), self.ar1.ready.eq(second)]
        selects = copies(m, second, 2, "select")
        m.d.comb += [
            addresses.payload.word.eq(Mux(selects[0], self.ar1.payload.addr, self.ar0.payload.addr)[_LOW:]),
            addresses.payload.len.eq(Mux(selects[1], self.ar1.payload.len, self.ar0.payload.len)),
            addresses.push.eq(Cat(pushes[1:])),
            tags.push.eq(pushes[0]),
            tags.payload.eq(selects[1]),
            self.ar.valid.eq(addresses.o.valid),
            addresses.o.ready.eq(self.ar.ready),
            self.ar.payload.addr.eq(addresses.o.payload.word << _LOW),
            self.ar.payload.len.eq(addresses.o.payload.len),
        ]

        beat = Signal(READ_BEAT, reset_less=True)
        m.d.sync += [
            beat.eq(self.r.payload),
            self.r0.valid.eq(self.r.valid & ~tags.o.payload),
            self.r1.valid.eq(self.r.valid & tags.o.payload),
        ]
        m.d.comb += [
            self.r.ready.eq(1),
            self.r0.payload.eq(beat),
            self.r1.payload.eq(beat),
            tags.o.ready.eq(self.r.valid & self.r.payload.last),
        ]
        return m
