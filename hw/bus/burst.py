"""Cuts contiguous runs of memory into AXI bursts."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import ADDRESS, RUN, RUN_BEATS_WIDTH

_BEAT_BITS = (BEAT_BYTES - 1).bit_length()
_INDEX_BITS = (BURST_BEATS - 1).bit_length()
_LINE_BITS = 32 - _BEAT_BITS - _INDEX_BITS


def _less_one(value):
    """``value - 1`` as plain logic: too short for a carry chain."""
    return Cat(bit ^ ~value[:place].any() for place, bit in enumerate(value))


class BurstGenerator(wiring.Component):
    """Turns runs into bursts of at most 16 beats that end at multiples of 128 bytes.

    Such bursts never cross a 4 KB boundary and fit the AXI3 ports of a Zynq. Only the first burst of a run
    begins inside a line of 128 bytes: what it needs is worked out when the run is accepted, and then lines
    and bursts are counted, so that no path holds more than one sum.

    Members: ``runs`` (in), ``bursts`` (out, registered), ``enable``: a burst may be put on the output;
    ``issue``: one is put there now; ``idle``: no run is held and the output is empty.
    Latency two cycles from run to burst, one burst per cycle.
    """

    latency_cycles = MACHINE.generator_cycles

    runs: In(stream.Signature(RUN))
    bursts: Out(stream.Signature(ADDRESS))
    enable: In(1)
    issue: Out(1)
    idle: Out(1)

    def elaborate(self, platform):
        m = Module()
        run = self.runs.payload
        run_index = run.addr[_BEAT_BITS : _BEAT_BITS + _INDEX_BITS]
        # The run's beats from the start of its line, rounded up to whole lines: its bursts, and in front of
        # them the place of its last beat. The carry out of the low bits says whether one line is too few.
        upto = Cat(_less_one(run_index), run_index.any())
        count = Signal(RUN_BEATS_WIDTH + 1)
        low_count = Signal(_INDEX_BITS + 2)

        active = Signal()
        first = Signal()
        last = Signal(init=1)
        """The burst to issue is its run's first, its last; ``last`` as well while there is none."""
        start = Signal(_LINE_BITS, reset_less=True)
        index = Signal(_INDEX_BITS, reset_less=True)
        """Line of the run's first beat, and the beat's place in it."""
        only_len = Signal(_INDEX_BITS, reset_less=True)
        last_len = Signal(_INDEX_BITS, reset_less=True)
        """Beats - 1 of the last burst: if it is the first one too, and else."""
        left = Signal(RUN_BEATS_WIDTH + 1 - _INDEX_BITS, reset_less=True)
        """Bursts to issue."""
        line = Signal(_LINE_BITS, reset_less=True)
        """Line of the burst on the output."""
        burst_index = Signal(_INDEX_BITS, reset_less=True)
        burst_len = Signal(_INDEX_BITS, reset_less=True)

        # Whether the next step takes a run is known before; whether there is a step comes late, from a port.
        proceed = Signal()
        step = Signal()
        m.d.comb += [
            count.eq(run.beats + upto),
            low_count.eq(run.beats[: _INDEX_BITS + 1] + upto),
            proceed.eq(self.enable & (~self.bursts.valid | self.bursts.ready)),
            step.eq(~active | proceed),
            self.issue.eq(active & proceed),
            self.runs.ready.eq(step & last),
            self.idle.eq(~active & ~self.bursts.valid),
            self.bursts.payload.addr.eq(Cat(Signal(_BEAT_BITS), burst_index, line)),
            self.bursts.payload.len.eq(burst_len),
        ]
        with m.If(step):
            m.d.sync += first.eq(last)
            with m.If(last):
                m.d.sync += [
                    active.eq(self.runs.valid),
                    last.eq(~self.runs.valid | ~(low_count[-1] | run.beats[_INDEX_BITS + 1 :].any())),
                    left.eq(count[_INDEX_BITS:]),
                ]
            with m.Else():
                m.d.sync += [last.eq(left == 2), left.eq(left - 1)]
        with m.If(self.runs.ready):
            m.d.sync += [
                start.eq(run.addr[_BEAT_BITS + _INDEX_BITS :]),
                index.eq(run_index),
                only_len.eq(_less_one(run.beats[:_INDEX_BITS])),
                last_len.eq(count[:_INDEX_BITS]),
            ]

        with m.If(self.bursts.ready):
            m.d.sync += self.bursts.valid.eq(0)
        with m.If(self.issue):
            m.d.sync += [
                self.bursts.valid.eq(1),
                line.eq(Mux(first, start, line) + ~first),
                burst_index.eq(Mux(first, index, 0)),
                burst_len.eq(Mux(last, Mux(first, only_len, last_len), Mux(first, ~index, BURST_BEATS - 1))),
            ]
        return m
