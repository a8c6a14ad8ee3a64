"""Cuts contiguous runs of memory into AXI bursts."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.layouts import ADDRESS, RUN, RUN_BEATS_WIDTH


class BurstGenerator(wiring.Component):
    """Turns runs into bursts of at most 16 beats that end at multiples of 128 bytes.

    Such bursts never cross a 4 KB boundary and fit the AXI3 ports of a Zynq.

    Members: ``runs`` (in), ``bursts`` (out, registered), ``enable``: a burst may be put on the output;
    ``issue``: one is put there now; ``idle``: no run is held and the output is empty.
    Latency two cycles from run to burst, one burst per cycle.
    """

    latency_cycles = 2

    runs: In(stream.Signature(RUN))
    bursts: Out(stream.Signature(ADDRESS))
    enable: In(1)
    issue: Out(1)
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        active = Signal()
        addr = Signal(32)
        left = Signal(RUN_BEATS_WIDTH)

        offset_bits = (BEAT_BYTES - 1).bit_length()
        index_bits = (BURST_BEATS - 1).bit_length()
        room = Signal(range(BURST_BEATS + 1))
        beats = Signal(range(BURST_BEATS + 1))
        ends_run = Signal()
        m.d.comb += [
            room.eq(BURST_BEATS - addr[offset_bits : offset_bits + index_bits]),
            ends_run.eq(left <= room),
            beats.eq(Mux(ends_run, left, room)),
            self.issue.eq(active & self.enable & (~self.bursts.valid | self.bursts.ready)),
            self.runs.ready.eq(~active | (self.issue & ends_run)),
            self.idle.eq(~active & ~self.bursts.valid),
        ]
        with m.If(self.bursts.ready):
            m.d.sync += self.bursts.valid.eq(0)
        with m.If(self.issue):
            m.d.sync += [
                self.bursts.valid.eq(1),
                self.bursts.payload.addr.eq(addr),
                self.bursts.payload.len.eq(beats - 1),
                addr.eq(addr + (beats << offset_bits)),
                left.eq(left - beats),
                active.eq(~ends_run),
            ]
        with m.If(self.runs.ready & self.runs.valid):
            m.d.sync += [
                active.eq(1),
                addr.eq(self.runs.payload.addr),
                left.eq(self.runs.payload.beats),
            ]
        return m
