"""Read and write masters: what they put on an AXI port, for any memory that keeps the rules."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal

from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.contract.config import BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN_BEATS_WIDTH
from cpt.sim.formal.bursts import BEAT_BITS, BURSTS, INDEX, INDEX_BITS, first_line, queued
from cpt.sim.formal.properties import Properties

_ENTRY_BITS = 32 - BEAT_BITS + INDEX_BITS
"""Of an address: place in its line, line, beats - 1."""
_COUNT_BITS = BURSTS.bit_length() + 1


class MasterProperties(Properties):
    """What holds of the addresses of either master; a subclass adds the data."""

    def _runs(self) -> None:
        run = self.block.runs
        self.assume(~run.valid | ((run.payload.beats != 0) & (run.payload.addr[:BEAT_BITS] == 0)))

    def _addresses(self, stream: Any, unfinished: Any) -> tuple[Any, Any]:
        """``unfinished``: bursts whose address is taken and whose end is not seen.

        Returns whether a burst is issued now, and how many are in flight.
        """
        block, address = self.block, stream.payload
        issue = self.peek("generator.issue")
        taken = stream.valid & stream.ready
        entry = self.peek("generator.queue.payload", _ENTRY_BITS)
        entries, count = self.list_of("address", BURSTS, _ENTRY_BITS, issue, entry, taken)
        in_flight = unfinished + count
        self.demand("an address is kept", self.kept(stream.valid, stream.ready, address))
        self.demand("a burst is short", ~stream.valid | (address.len < BURST_BEATS))
        self.demand("a burst is aligned", ~stream.valid | (address.addr[:BEAT_BITS] == 0))
        self.demand(
            "a burst stays in its line", ~stream.valid | (address.addr[INDEX] + address.len < BURST_BEATS)
        )
        self.demand("bursts in flight are bounded", in_flight <= BURSTS)
        self.demand("quiet says so", ~block.quiet | (in_flight == 0))
        self.demand("idle is quiet", ~block.idle | block.quiet)
        self.demand("stop lets none be issued", ~(self._started & self.past(block.stop) & issue))
        self.demand(
            "nothing begins once stopped and quiet",
            ~(self._started & self.past(block.stop & block.quiet) & stream.valid),
        )

        # What the induction needs to know of the inside.
        if self.outside_only:
            return issue, in_flight
        above = self.peek("generator.outstanding.above", BURSTS)
        self.inside("count", above == ((1 << in_flight) - 1)[:BURSTS])
        same = self.peek("generator.stopped_0") == self.past(block.stop)
        self.inside("stopped", ~self._started | same)
        for n in range(3):
            self.inside(
                f"resting {n}", self.peek(f"generator.resting_{n}") == self.peek("generator.resting_0")
            )
            self.inside(
                f"stopped {n}", self.peek(f"generator.stopped_{n}") == self.peek("generator.stopped_0")
            )
        for n in range(1, 3):
            same = self.peek(f"generator.vacant_{n}") == self.peek("generator.vacant_0")
            self.inside(f"vacant {n}", same)
        beats = self.peek("generator.beats", RUN_BEATS_WIDTH)
        some = beats != 0
        long = self.peek("generator.long") == beats[INDEX_BITS + 1 :].any()
        self.inside("waiting long", self.peek("generator.vacant_0") | long)
        self.inside("waiting is not empty", self.peek("generator.vacant_0") | some)
        index = self.peek("generator.waiting_index", INDEX_BITS)
        for name, known in first_line(self, "generator.", index, beats).items():
            self.inside(f"waiting {name}", self.peek("generator.vacant_0") | known)
        only = self.peek("generator.first") & self.peek("generator.last")
        single = ~self.peek("generator.resting_0") & only
        end = self.peek("generator.index", INDEX_BITS) + self.peek("generator.only_rest", INDEX_BITS)
        self.inside("the only burst stays in its line", ~single | (end < BURST_BEATS))
        for n, place in enumerate(entries):
            inside = place[:INDEX_BITS] + place[-INDEX_BITS:] < BURST_BEATS
            self.inside(f"burst {n} stays in its line", (count <= n) | inside)
        queued(self, "generator.queue", stream.valid, entries, count, lambda entry: entry)
        return issue, in_flight


class ReadMasterProperties(MasterProperties):
    """Addresses that a port takes, no more of them than agreed, and every beat handed on at once."""

    def __init__(self, max_outstanding: int = BURSTS) -> None:
        super().__init__(ReadMaster(max_outstanding))

    def describe(self) -> None:
        """The memory sends beats only for addresses that it has taken."""
        block = self.block
        self._runs()
        ended = block.r.valid & block.r.ready & block.r.payload.last
        unfinished = self.counter("unfinished", _COUNT_BITS, block.ar.valid & block.ar.ready, ended)
        self.assume(~block.r.valid | (unfinished != 0))
        self._addresses(block.ar, unfinished)
        self.reach("as many as agreed", unfinished == BURSTS)
        self.demand("every beat is taken", block.r.ready)
        self.demand("every beat is handed on", block.beat_valid == block.r.valid)
        self.demand("as it came", block.beat == block.r.payload.data)
        self.demand("a refused beat is an error", block.error == (block.r.valid & block.r.payload.resp[1]))


class WriteMasterProperties(MasterProperties):
    """The same for writes; the beats of each address, all of them, and the last one marked."""

    def __init__(self, max_outstanding: int = BURSTS) -> None:
        super().__init__(WriteMaster(max_outstanding))

    def describe(self) -> None:
        """The memory answers only bursts whose address and last beat it has taken."""
        m, block = self._module, self.block
        self._runs()
        answered = block.b.valid & block.b.ready
        finished = block.w.valid & block.w.ready & block.w.payload.last
        unfinished = self.counter("unfinished", _COUNT_BITS, block.aw.valid & block.aw.ready, answered)
        complete = self.counter("complete", _COUNT_BITS, finished, answered)
        self.assume(~block.b.valid | ((unfinished != 0) & (complete != 0)))
        issue, in_flight = self._addresses(block.aw, unfinished)
        self.reach("a burst of two beats ends", finished & self.past(block.w.valid))
        self.reach("as many as agreed", unfinished == BURSTS)
        self.demand("every answer is taken", block.b.ready)
        refused = self.past(block.b.valid & block.b.payload[1])
        self.demand("a refused burst is an error", ~self._started | (block.error == refused))
        self.demand("an error comes before quiet", ~(block.error & block.quiet))
        self.demand("a beat is kept", self.kept(block.w.valid, block.w.ready, block.w.payload))
        self._data(m, issue, in_flight, complete)

    def _data(self, m: Module, issue: Any, in_flight: Any, complete: Any) -> None:
        """Against a list of the bursts whose beats are not all sent, and one of the beats taken in."""
        block = self.block
        sent = block.w.valid & block.w.ready
        index, ends = Signal(INDEX_BITS), Signal()
        rest = self.peek("generator.rest", INDEX_BITS)
        lengths, bursts = self.list_of("length", BURSTS + 1, INDEX_BITS, issue, rest, ends)
        m.d.comb += ends.eq(sent & (index == lengths[0]))
        with m.If(sent):
            m.d.sync += index.eq(Mux(ends, 0, index + 1))
        taken = block.beats.valid & block.beats.ready
        beats, stored = self.list_of("beat", MACHINE.write_beats, 64, taken, block.beats.payload, sent)
        begun = self.past(bursts - ends != 0)

        self.demand("no beat without its burst", ~sent | (bursts != 0))
        self.demand(
            "beats are taken while there is room", block.beats.ready == (stored != MACHINE.write_beats)
        )
        self.demand("what can go goes", block.w.valid == (begun & (stored != 0)))
        self.demand("a beat goes out as it came", ~block.w.valid | (block.w.payload.data == beats[0]))
        self.demand("the end of a burst is marked", ~sent | (block.w.payload.last == ends))

        # What the induction needs to know of the inside: the list is the burst at work, then the queue.
        if self.outside_only:
            return
        sending, last = self.peek("sending"), self.peek("last")
        left = self.peek("left", INDEX_BITS)
        self.inside("sending", sending == begun)
        self.inside("sends something", ~sending | (bursts != 0))
        self.inside("left", ~sending | (lengths[0] == left + index))
        self.inside("not past its end", ~sending | (left + index < BURST_BEATS))
        self.inside("index", sending | (index == 0))
        self.inside("last", ~sending | (last == (left == 0)))
        waiting = [Mux(sending, lengths[n + 1], lengths[n]) for n in range(BURSTS)]
        valid = self.peek("lengths.o__valid")
        queued(
            self, "lengths", valid, waiting, bursts - sending, lambda rest: Cat(rest, rest == 0), late=True
        )
        self.inside("lengths: one is left", self.peek("lengths.single") == (bursts - sending == 1))
        self.inside("count of bursts", in_flight == bursts + complete)
        bits = (MACHINE.write_beats - 1).bit_length()
        above = self.peek("waiting.stored.above", MACHINE.write_beats)
        self.inside("count of beats", above == ((1 << stored) - 1)[: MACHINE.write_beats])
        for half in range(2):
            produce, consume = (self.peek(f"waiting.{name}_{half}", bits) for name in ("produce", "consume"))
            self.inside(f"pointers of beats {half}", (produce - consume - stored)[:bits] == 0)
            places = [self.peek(f"waiting.memory_{half}[{n}]", 32) for n in range(MACHINE.write_beats)]
            for n, beat in enumerate(beats):
                same = Array(places)[(consume + n)[:bits]] == beat[32 * half : 32 * half + 32]
                self.inside(f"beat {n} of {half}", (stored <= n) | same)
