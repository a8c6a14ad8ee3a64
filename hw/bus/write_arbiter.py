"""Lets two writers share one write master."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP, copies

WRITERS = 2
PART_BITS = 24
"""Bits of a beat or run that share a copy of who has the turn."""


class WriteArbiter(wiring.Component):
    """Takes a run of one writer and then its beats, one run after the other; by turns where both ask.

    The beats of a run that was taken must come whatever happens to the other writer.

    Parameters: ``max_outstanding``: runs without an answer of both writers together, a power of two; they
    count.
    Members: ``runs_0``, ``beats_0``, ``runs_1``, ``beats_1`` (in), ``answered_0``, ``answered_1``: the
    writers; ``runs``, ``beats`` (out), ``answered``: the `WriteMaster`; ``idle``: nothing is held.
    A beat a cycle, and three cycles from the last beat of a run to the first of the next.
    """

    def __init__(self, max_outstanding: int):
        self.max_outstanding = max_outstanding
        super().__init__(
            {f"runs_{n}": In(stream.Signature(RUN)) for n in range(WRITERS)}
            | {f"beats_{n}": In(stream.Signature(BEAT_BITS)) for n in range(WRITERS)}
            | {f"answered_{n}": Out(1) for n in range(WRITERS)}
            | {
                "runs": Out(stream.Signature(RUN)),
                "beats": Out(stream.Signature(BEAT_BITS)),
                "answered": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.turns = turns = RoomyQueue(1, self.max_outstanding, sure=True)
        m.submodules.unanswered = unanswered = Outstanding(self.max_outstanding)
        asked = [getattr(self, f"runs_{n}") for n in range(WRITERS)]
        beats = [getattr(self, f"beats_{n}") for n in range(WRITERS)]
        width = RUN.size
        starts = range(0, width, PART_BITS)
        frees = [Signal(name=f"free_{n}", init=1, attrs=KEEP) for n in range(2 + len(starts))]
        """No run is held: for what decides, for the count of its beats, for parts of the run."""
        free = frees[0]
        second = Signal()
        """``second``: the run that is sent, or was last, is the second writer's."""
        held = Signal(RUN, reset_less=True)
        offered = Signal()
        left = Signal.like(held.beats, reset_less=True)
        sending = Signal()
        # Whose turn it is is seen a cycle before, while another run is sent or none asked for: nothing that
        # has asked takes it back, and what it says after it was taken is not looked at.
        wants = Cat(run.valid for run in asked)
        seconds = wants[1] & ~(wants[0] & second)
        picks = Signal(WRITERS)
        selects = copies(m, seconds, 2 + len(starts), "selects")
        whose = copies(m, Mux(free, selects[0], second), 1 + -(-BEAT_BITS // PART_BITS), "whose")
        takes = Signal()
        sent = Signal()
        m.d.comb += [
            takes.eq(free & picks.any()),
            *(run.ready.eq(free & pick) for run, pick in zip(asked, picks, strict=True)),
            self.runs.valid.eq(offered),
            self.runs.payload.eq(held),
            self.beats.valid.eq(sending & Mux(whose[0], beats[1].valid, beats[0].valid)),
            beats[0].ready.eq(sending & ~whose[0] & self.beats.ready),
            beats[1].ready.eq(sending & whose[0] & self.beats.ready),
            sent.eq(self.beats.valid & self.beats.ready),
        ]
        for n, select in enumerate(whose[1:]):
            part = slice(n * PART_BITS, (n + 1) * PART_BITS)
            m.d.comb += self.beats.payload[part].eq(
                Mux(select, beats[1].payload[part], beats[0].payload[part])
            )
        m.d.sync += [
            picks.eq(Cat(wants[0] & ~seconds, seconds)),
            second.eq(Mux(takes, selects[0], second)),
            offered.eq(takes | (offered & ~self.runs.ready)),
            sending.eq(takes | (sending & ~(sent & (left == 1)))),
            *(flag.eq(Mux(free, ~takes, ~offered & ~sending)) for flag in frees),
        ]
        runs = [run.payload.as_value() for run in asked]
        for first, flag, select in zip(starts, frees[2:], selects[2:], strict=True):
            part = slice(first, first + PART_BITS)
            with m.If(flag):
                m.d.sync += held.as_value()[part].eq(Mux(select, runs[1][part], runs[0][part]))
        with m.If(frees[1] | sent):
            chosen = Mux(selects[1], asked[1].payload.beats, asked[0].payload.beats)
            m.d.sync += left.eq(Mux(frees[1], chosen, left - 1))
        m.d.sync += [turns.push.eq(takes), turns.payload.eq(selects[0])]
        m.d.comb += [
            turns.o.ready.eq(self.answered),
            unanswered.issue.eq(takes),
            unanswered.finish.eq(self.answered),
            self.answered_0.eq(self.answered & ~turns.o.payload),
            self.answered_1.eq(self.answered & turns.o.payload),
            self.idle.eq(free & unanswered.none),
        ]
        return m
