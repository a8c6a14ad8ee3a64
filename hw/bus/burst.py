"""Cuts contiguous runs of memory into AXI bursts."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import ADDRESS, RUN, RUN_BEATS_WIDTH
from cpt.hw.matrix.copies import KEEP, copies

_BEAT_BITS = (BEAT_BYTES - 1).bit_length()
_INDEX_BITS = (BURST_BEATS - 1).bit_length()
_FEW_BITS = 5
"""A run of so few bursts, or of fewer, is near its end."""
_LINE_BITS = 32 - _BEAT_BITS - _INDEX_BITS
_BURST = data.StructLayout({"index": _INDEX_BITS, "line": _LINE_BITS, "rest": _INDEX_BITS})
"""What of an address is not always the same: where it begins, and its beats - 1."""


def _less_one(value):
    """``value - 1`` as plain logic: too short for a carry chain."""
    return Cat(bit ^ ~value[:place].any() for place, bit in enumerate(value))


def _within_line(index, few):
    """Whether ``few`` beats from place ``index`` on end in its line.

    In gates, since the way into a chain is long.
    """
    table = sum(
        1 << (place | beats << _INDEX_BITS)
        for place in range(BURST_BEATS)
        for beats in range(BURST_BEATS)
        if place + beats <= BURST_BEATS
    )
    return Const(table, BURST_BEATS**2).bit_select(Cat(index, few), 1)


class BurstGenerator(wiring.Component):
    """Turns runs into bursts of at most 16 beats that end at multiples of 128 bytes, and counts them.

    Such bursts never cross a 4 KB boundary and fit the AXI3 ports of a Zynq. Only the first burst of a run
    begins inside a line of 128 bytes. A run waits in a first register; while nothing is cut what the next
    one needs is worked out behind a second, and then lines and bursts are counted. Bursts that are counted
    have a place in the queue at the output, so nothing looks at what the port does.

    Parameters: ``max_outstanding`` bursts in flight, a power of two.
    Members: ``runs`` (in); ``bursts`` (out); ``stop``: issue nothing new, from the next cycle on;
    ``finish``: a burst has come to its end; ``issue``: one is put into the queue now; ``rest``: its beats
    after the first; ``ends``: it is its run's last; ``idle``: no run is held and nothing is in flight;
    ``quiet``: nothing is in flight, and of a run that is held nothing will be.
    Latency three cycles from run to burst, a burst in every cycle of a run and none in the one behind it.
    """

    latency_cycles = MACHINE.generator_cycles

    def __init__(self, max_outstanding: int = MACHINE.outstanding_bursts):
        self.max_outstanding = max_outstanding
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                "bursts": Out(stream.Signature(ADDRESS)),
                "stop": In(1),
                "finish": In(1),
                "issue": Out(1),
                "rest": Out(_INDEX_BITS),
                "ends": Out(1),
                "idle": Out(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.outstanding = outstanding = Outstanding(self.max_outstanding)
        m.submodules.queue = queue = RoomyQueue(_BURST, self.max_outstanding)
        stopped = copies(m, self.stop, 3, "stopped")
        m.d.comb += outstanding.finish.eq(self.finish)

        # A run as it came. What loads registers, or says so, has copies: they are so many bits wide.
        vacant = [Signal(name=f"vacant_{n}", init=1, attrs=KEEP) for n in range(3)]
        resting = [Signal(name=f"resting_{n}", init=1, attrs=KEEP) for n in range(3)]
        """No run waits; none is being cut."""
        waiting_line = Signal(_LINE_BITS, reset_less=True)
        waiting_index = Signal(_INDEX_BITS, reset_less=True)
        upto = Signal(_INDEX_BITS + 1, reset_less=True)
        """What the place of its first beat adds to its beats, so that its lines are counted."""
        within, whole = (Signal(name=name, reset_less=True) for name in ("within", "whole"))
        """Its beats end in its first line, if they are less than a line; if they are one."""
        beats = Signal(RUN_BEATS_WIDTH, reset_less=True)
        long = Signal(reset_less=True)
        """They are two lines or more."""
        move = Signal()
        m.d.comb += [move.eq(~vacant[0] & resting[0]), self.runs.ready.eq(vacant[1])]
        m.d.sync += [flag.eq(move | (vacant[0] & ~self.runs.valid)) for flag in vacant]
        address = self.runs.payload.addr
        place, few_beats = address[_BEAT_BITS:][:_INDEX_BITS], self.runs.payload.beats[:_INDEX_BITS]
        with m.If(vacant[0]):
            m.d.sync += waiting_line.eq(address[_BEAT_BITS + _INDEX_BITS :])
        with m.If(vacant[2]):
            m.d.sync += [
                waiting_index.eq(place),
                upto.eq(Cat(_less_one(place), place.any())),
                within.eq(_within_line(place, few_beats)),
                whole.eq(~place.any() & ~few_beats.any()),
            ]
        with m.If(vacant[1]):
            m.d.sync += [
                beats.eq(self.runs.payload.beats),
                long.eq(self.runs.payload.beats[_INDEX_BITS + 1 :].any()),
            ]

        # The run's beats from the start of its line, rounded up to whole lines: its bursts, and in front of
        # them the place of its last beat.
        count = Signal(RUN_BEATS_WIDTH + 1)
        m.d.comb += count.eq(beats + upto)

        line = Signal(_LINE_BITS, reset_less=True)
        """Line of the next burst."""
        index = Signal(_INDEX_BITS, reset_less=True)
        """Place of the run's first beat in its line."""
        only_rest = Signal(_INDEX_BITS, reset_less=True)
        last_rest = Signal(_INDEX_BITS, reset_less=True)
        """Beats - 1 of the last burst: if it is the first one too, and else."""
        left = Signal(RUN_BEATS_WIDTH + 1 - _INDEX_BITS, reset_less=True)
        """Bursts to issue."""
        few = Signal(reset_less=True)
        """They are few, so that the low bits tell; not said at once, but early enough."""
        first = Signal(reset_less=True)
        last = Signal(reset_less=True)
        """The next burst is its run's first, its last."""
        issue = [~resting[n] & ~outstanding.full & ~stopped[n] for n in range(3)]
        m.d.comb += [self.issue.eq(issue[2]), outstanding.issue.eq(issue[1])]
        m.d.sync += [flag.eq(Mux(resting[1], vacant[1], issue[1] & last)) for flag in resting]
        with m.If(resting[0]):
            m.d.sync += line.eq(waiting_line)
        with m.Elif(issue[0]):
            m.d.sync += line.eq(line + 1)
        with m.If(resting[1]):
            m.d.sync += [
                index.eq(waiting_index),
                only_rest.eq(_less_one(beats[:_INDEX_BITS])),
                last_rest.eq(count[:_INDEX_BITS]),
                first.eq(1),
                last.eq(~long & Mux(beats[_INDEX_BITS], whole, within)),
            ]
        with m.Elif(issue[1]):
            m.d.sync += [first.eq(0), last.eq(few & (left[:_FEW_BITS] == 2))]
        m.d.sync += few.eq(
            ~Mux(resting[2], beats[_INDEX_BITS + _FEW_BITS - 1 :].any(), left[_FEW_BITS:].any())
        )
        with m.If(resting[2] | issue[2]):
            m.d.sync += left.eq(Mux(resting[2], count[_INDEX_BITS:], left - 1))

        m.d.comb += [
            self.ends.eq(last),
            self.rest.eq(
                Mux(last, Mux(first, only_rest, last_rest), Mux(first, ~index, BURST_BEATS - 1)),
            ),
            queue.push.eq(self.issue),
            queue.payload.eq(Cat(Mux(first, index, 0), line, self.rest)),
            self.bursts.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.bursts.ready),
            self.bursts.payload.addr.eq(
                Cat(Const(0, _BEAT_BITS), queue.o.payload.index, queue.o.payload.line)
            ),
            self.bursts.payload.len.eq(queue.o.payload.rest),
            self.quiet.eq(outstanding.none & (resting[1] | stopped[1])),
            self.idle.eq(outstanding.none & resting[1] & vacant[1]),
        ]
        return m
