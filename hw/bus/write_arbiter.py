"""Lets two writers share one write master."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import copies

WRITERS = 2
PART_BITS = 32
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
        m.submodules.turns = turns = RoomyQueue(1, self.max_outstanding)
        asked = [getattr(self, f"runs_{n}") for n in range(WRITERS)]
        beats = [getattr(self, f"beats_{n}") for n in range(WRITERS)]
        free, second = Signal(init=1), Signal()
        held, offered = Signal(RUN, reset_less=True), Signal()
        left, sending = Signal.like(held.beats, reset_less=True), Signal()
        selects = Signal()
        m.d.comb += selects.eq(Mux(free, asked[1].valid & ~(asked[0].valid & second), second))
        whose = copies(m, selects, BEAT_BITS // PART_BITS, "whose")
        takes, sent = Signal(), Signal()
        m.d.comb += [
            takes.eq(free & (asked[0].valid | asked[1].valid)),
            asked[0].ready.eq(free & (second | ~asked[1].valid)),
            asked[1].ready.eq(free & ~(asked[0].valid & second)),
            self.runs.valid.eq(offered),
            self.runs.payload.eq(held),
            self.beats.valid.eq(sending & Mux(whose[0], beats[1].valid, beats[0].valid)),
            beats[0].ready.eq(sending & ~whose[0] & self.beats.ready),
            beats[1].ready.eq(sending & whose[0] & self.beats.ready),
            sent.eq(self.beats.valid & self.beats.ready),
        ]
        for n, select in enumerate(whose):
            part = slice(n * PART_BITS, (n + 1) * PART_BITS)
            m.d.comb += self.beats.payload[part].eq(
                Mux(select, beats[1].payload[part], beats[0].payload[part])
            )
        m.d.sync += [
            second.eq(selects),
            offered.eq(takes | (offered & ~self.runs.ready)),
            sending.eq(takes | (sending & ~(sent & (left == 1)))),
            free.eq(Mux(free, ~takes, ~offered & ~sending)),
        ]
        with m.If(free):
            run = Mux(selects, asked[1].payload.as_value(), asked[0].payload.as_value())
            m.d.sync += [
                held.as_value().eq(run),
                left.eq(Mux(selects, asked[1].payload.beats, asked[0].payload.beats)),
            ]
        with m.Elif(sent):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            turns.push.eq(takes),
            turns.payload.eq(selects),
            turns.o.ready.eq(self.answered),
            self.answered_0.eq(self.answered & ~turns.o.payload),
            self.answered_1.eq(self.answered & turns.o.payload),
            self.idle.eq(free & ~turns.o.valid),
        ]
        return m
