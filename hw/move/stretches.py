"""Names runs of memory, cut so that there is room for each."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.layouts import RUN, RUN_BEATS_WIDTH
from cpt.hw.move.command import COUNT_BITS, STRETCH

PIECE_BEATS = 64
"""Most beats of a run: four bursts."""
_LOW = PIECE_BEATS.bit_length()


class Stretches(wiring.Component):
    """All runs of an instruction, in pieces of `PIECE_BEATS` at most.

    Members: ``start``: one begins, with ``stretch``, which stays until its end; ``runs`` (out); ``last``: of
    the run that is offered, that it is the instruction's last; ``room``: there is room for a piece, looked at
    before each; ``idle``: all runs are taken. At best a piece in three cycles.
    """

    def __init__(self):
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
        stretch = self.stretch
        active, known = Signal(), Signal()
        """Pieces are left; what the next one is has been worked out."""
        addr, after = Signal(32, reset_less=True), Signal(32, reset_less=True)
        """Of the next piece; of the next run."""
        left, runs = Signal(RUN_BEATS_WIDTH, reset_less=True), Signal(COUNT_BITS, reset_less=True)
        more, run_last = Signal(reset_less=True), Signal(reset_less=True)
        """The piece does not end its run; the run is the last one."""
        beats = Signal(_LOW, reset_less=True)
        offer = Signal()
        m.d.comb += [
            offer.eq(known & self.room & ~self.runs.valid),
            self.idle.eq(~active & ~self.runs.valid),
        ]
        m.d.sync += [
            more.eq(left[_LOW - 1 :].any() & (left != PIECE_BEATS)),
            beats.eq(Mux(left[_LOW - 1 :].any(), PIECE_BEATS, left)),
            run_last.eq(runs == 1),
            known.eq(active & ~offer & ~self.start),
            active.eq(self.start | (active & ~(offer & ~more & run_last))),
            self.runs.valid.eq(offer | (self.runs.valid & ~self.runs.ready)),
        ]
        with m.If(offer):
            m.d.sync += [
                self.runs.payload.addr.eq(addr),
                self.runs.payload.beats.eq(beats),
                self.last.eq(~more & run_last),
            ]
        with m.If(~active):
            m.d.sync += [
                addr.eq(stretch.addr),
                after.eq(stretch.addr + stretch.stride),
                left.eq(stretch.beats),
                runs.eq(stretch.runs),
            ]
        with m.Elif(offer):
            with m.If(more):
                m.d.sync += [addr.eq(addr + PIECE_BEATS * BEAT_BYTES), left.eq(left - PIECE_BEATS)]
            with m.Else():
                m.d.sync += [
                    addr.eq(after),
                    after.eq(after + stretch.stride),
                    left.eq(stretch.beats),
                    runs.eq(runs - 1),
                ]
        return m
