"""The burst generator: a run is covered exactly, by bursts that the rule allows."""

from __future__ import annotations

from amaranth import Mux, Signal

from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.layouts import RUN_BEATS_WIDTH
from cpt.sim.formal.properties import Properties

BEAT_BITS = (BEAT_BYTES - 1).bit_length()
INDEX_BITS = (BURST_BEATS - 1).bit_length()
LINE = slice(BEAT_BITS + INDEX_BITS, 32)
INDEX = slice(BEAT_BITS, BEAT_BITS + INDEX_BITS)


class BurstProperties(Properties):
    """Bursts are those of the rule "to the end of the line or of the run", worked out by subtraction."""

    def __init__(self) -> None:
        super().__init__(BurstGenerator())

    def describe(self) -> None:
        """Any runs of at least one beat at multiples of 8."""
        m, block = self._module, self.block
        run, burst = block.runs.payload, block.bursts
        self.assume(~block.runs.valid | ((run.beats != 0) & (run.addr[:BEAT_BITS] == 0)))

        address, beats = Signal(32), Signal(RUN_BEATS_WIDTH)
        """What is left of the run."""
        room, length = Signal(INDEX_BITS + 1), Signal(INDEX_BITS + 1)
        m.d.comb += [room.eq(BURST_BEATS - address[INDEX]), length.eq(Mux(beats < room, beats, room))]
        expected_address, expected_length = Signal(32), Signal(8)
        accepted = block.runs.valid & block.runs.ready
        with m.If(block.issue):
            m.d.sync += [
                expected_address.eq(address),
                expected_length.eq(length - 1),
                address.eq(address + (length << BEAT_BITS)),
                beats.eq(beats - length),
            ]
        with m.If(accepted):
            m.d.sync += [address.eq(run.addr), beats.eq(run.beats)]

        self.demand("bursts are kept", self.kept(burst.valid, burst.ready, burst.payload))
        self.demand("address of a burst", ~burst.valid | (burst.payload.addr == expected_address))
        self.demand("length of a burst", ~burst.valid | (burst.payload.len == expected_length))
        end = burst.payload.addr[INDEX] + burst.payload.len
        self.demand("a burst is short", ~burst.valid | (burst.payload.len < BURST_BEATS))
        self.demand("a burst stays in its line", ~burst.valid | (end < BURST_BEATS))
        self.demand("a burst is aligned", ~burst.valid | (burst.payload.addr[:BEAT_BITS] == 0))
        self.demand("nothing is issued while disabled", ~block.issue | block.enable)
        self.demand("nothing is issued without a run", ~block.issue | (beats != 0))
        self.demand("no run is overtaken", ~accepted | (beats == 0) | (block.issue & (beats == length)))
        self.demand("idle says so", block.idle == ((beats == 0) & ~burst.valid))
        self.demand("an issue shows", burst.valid | ~self._started | ~self.past(block.issue))

        self.reach(
            "a short first burst of a long run",
            burst.valid & (beats > BURST_BEATS) & (burst.payload.len == 2),
        )

        # What the induction needs to know of the inside.
        active, first, last = (self.peek(name) for name in ("active", "first", "last"))
        index, line = self.peek("index", INDEX_BITS), self.peek("line", 32 - LINE.start)
        start, left = self.peek("start", 32 - LINE.start), self.peek("left", RUN_BEATS_WIDTH + 1 - INDEX_BITS)
        upto = beats + address[INDEX]
        self.inside("active", active == (beats != 0))
        self.inside("last", last == (~active | (upto <= BURST_BEATS)))
        self.inside("left", ~active | (left == (upto + BURST_BEATS - 1) >> INDEX_BITS))
        self.inside(
            "place of the first", ~(active & first) | ((start == address[LINE]) & (index == address[INDEX]))
        )
        following = (line + 1)[: 32 - LINE.start] == address[LINE]
        self.inside("place of the others", ~active | first | (following & (address[INDEX] == 0)))
        self.inside("length of the only", ~(active & first) | (self.peek("only_len", 4) == (beats - 1)[:4]))
        self.inside("length of the last", ~active | (self.peek("last_len", 4) == (upto - 1)[:4]))
        self.inside("aligned", address[:BEAT_BITS] == 0)
