"""Names runs of memory, cut so that there is room for each."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.layouts import RUN, RUN_BEATS_WIDTH
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.move.command import COUNT_BITS, STRETCH

PIECE_BEATS = 64
"""Most beats of a run of STORE: four bursts."""
ASKED_BEATS = 32
"""Of one of BRING, so that its ports take turns."""


class Stretches(wiring.Component):
    """All runs of an instruction, in pieces of ``most`` beats.

    Parameters: ``most``: a power of two.
    Members: ``start``: one begins, with ``stretch``, which stays until its end; ``runs`` (out); ``last``: of
    the run that is offered, that it is the instruction's last; ``room``: there is room for a piece, looked at
    before each; ``idle``: all runs are taken. At best a piece in four cycles.
    """

    def __init__(self, most: int = PIECE_BEATS):
        self.most = most
        super().__init__(
            {
                "start": In(1),
                "stretch": In(STRETCH),
                "runs": Out(stream.Signature(RUN)),
                "last": Out(1),
                "room": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        most, low = self.most, self.most.bit_length()
        stretch = self.stretch
        active = Signal()
        known = Signal()
        """Pieces are left; what the next one is has been worked out."""
        resting = [Signal(name=f"resting_{n}", init=1, attrs=KEEP) for n in range(8)]
        """What the first piece needs is loaded."""
        addr = Signal(32, reset_less=True)
        after = Signal(32, reset_less=True)
        """Of the next piece; of the next run."""
        left = Signal(RUN_BEATS_WIDTH, reset_less=True)
        runs = Signal(COUNT_BITS, reset_less=True)
        more = [Signal(name=f"more_{n}", reset_less=True, attrs=KEEP) for n in range(3)]
        """The piece does not end its run."""
        big = Signal()
        exact = Signal()
        run_last = Signal()
        """What is left has a piece at least, and is one; the run is the last."""
        begun = Signal()
        stepped = Signal()
        beats = Signal(low, reset_less=True)
        offer = Signal()
        ends = Signal()
        m.d.comb += offer.eq(known & self.room & ~self.runs.valid)
        # A cycle to decide, one to step, two to look at what is left.
        steps = copies(m, offer, 7, "steps", reset_less=False)
        m.d.comb += [
            ends.eq(steps[6] & ~more[2] & run_last),
            self.idle.eq(~active & ~self.runs.valid),
        ]
        m.d.sync += [
            big.eq(left[low - 1 :].any()),
            exact.eq(left == most),
            *(flag.eq(big & ~exact) for flag in more),
            beats.eq(Cat(left[: low - 1] & ~big.replicate(low - 1), big)),
            run_last.eq(runs == 1),
            begun.eq(active),
            stepped.eq(steps[6]),
            known.eq(active & begun & ~offer & ~steps[6] & ~stepped),
            active.eq(self.start | (active & ~ends)),
            *(flag.eq(~self.start & (flag | ends)) for flag in resting),
            self.runs.valid.eq(steps[6] | (self.runs.valid & ~self.runs.ready)),
        ]
        with m.If(steps[4]):
            m.d.sync += self.runs.payload.addr.eq(addr)
        with m.If(steps[5]):
            m.d.sync += [self.runs.payload.beats.eq(beats), self.last.eq(~more[2] & run_last)]
        first = Signal(32)
        before = Signal(32)
        for n in range(2):
            part = slice(16 * n, 16 * (n + 1))
            m.d.comb += [
                first[part].eq(Mux(resting[4 + n], stretch.addr[part], after[part])),
                before[part].eq(Mux(resting[6 + n], stretch.addr[part], after[part])),
            ]
        with m.If(resting[0] | steps[0]):
            m.d.sync += addr.eq(Mux(more[0] & ~resting[0], addr + most * BEAT_BYTES, first))
        with m.If(resting[1] | (steps[1] & ~more[2])):
            m.d.sync += after.eq(before + stretch.stride)
        with m.If(resting[2]):
            m.d.sync += left.eq(stretch.beats)
        with m.Elif(steps[2]):
            m.d.sync += left.eq(Mux(more[1], left - most, stretch.beats))
        with m.If(resting[3]):
            m.d.sync += runs.eq(stretch.runs)
        with m.Elif(steps[3] & ~more[2]):
            m.d.sync += runs.eq(runs - 1)
        return m
