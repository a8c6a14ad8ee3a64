"""Read and write masters: what they put on an AXI port, for any memory that keeps the rules."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Module, Mux, Signal

from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.contract.config import BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.sim.formal.bursts import BEAT_BITS, INDEX, INDEX_BITS
from cpt.sim.formal.properties import Properties

BURSTS = MACHINE.outstanding_bursts
_COUNT_BITS = BURSTS.bit_length() + 1


class MasterProperties(Properties):
    """What holds of the addresses of either master; a subclass adds the data."""

    def _runs(self) -> None:
        run = self.block.runs
        self.assume(~run.valid | ((run.payload.beats != 0) & (run.payload.addr[:BEAT_BITS] == 0)))

    def _addresses(self, stream: Any, unfinished: Any) -> None:
        """``unfinished``: bursts whose address is taken and whose end is not seen."""
        block, address = self.block, stream.payload
        in_flight = unfinished + stream.valid
        self.demand("an address is kept", self.kept(stream.valid, stream.ready, address))
        self.demand("a burst is short", ~stream.valid | (address.len < BURST_BEATS))
        self.demand("a burst is aligned", ~stream.valid | (address.addr[:BEAT_BITS] == 0))
        self.demand(
            "a burst stays in its line", ~stream.valid | (address.addr[INDEX] + address.len < BURST_BEATS)
        )
        self.demand("bursts in flight are bounded", in_flight <= BURSTS)
        self.demand("quiet says so", block.quiet == (in_flight == 0))
        fresh = stream.valid & ~(self.past(stream.valid) & ~self.past(stream.ready))
        self.demand("stop lets no address begin", ~(self._started & self.past(block.stop) & fresh))

        # What the induction needs to know of the inside.
        self.inside("count", self.peek("outstanding.count", BURSTS.bit_length()) == in_flight)
        self.inside("full", self.peek("outstanding.full") == (in_flight == BURSTS))
        single = self.peek("generator.active") & self.peek("generator.first") & self.peek("generator.last")
        end = self.peek("generator.index", INDEX_BITS) + self.peek("generator.only_len", INDEX_BITS)
        self.inside("the only burst stays in its line", ~single | (end < BURST_BEATS))


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
        self._addresses(block.aw, unfinished)
        self.reach("a burst of two beats ends", finished & self.past(block.w.valid))
        self.reach("as many as agreed", unfinished == BURSTS)
        self.demand("every answer is taken", block.b.ready)
        self.demand("a refused burst is an error", block.error == (block.b.valid & block.b.payload[1]))
        self.demand("a beat is kept", self.kept(block.w.valid, block.w.ready, block.w.payload))
        self._data(m, complete)

    def _data(self, m: Module, complete: Any) -> None:
        """Against a list of the bursts whose beats are not all taken in, in the order of their addresses."""
        block = self.block
        held = self.past(block.aw.valid & ~block.aw.ready)
        issued = Signal(name="issued")
        m.d.comb += issued.eq(block.aw.valid & ~held)
        taken = block.beats.valid & block.beats.ready
        index, ends = Signal(INDEX_BITS), Signal()
        lengths, bursts = self.list_of("length", BURSTS + 1, INDEX_BITS, issued, block.aw.payload.len, ends)
        m.d.comb += ends.eq(taken & (index == lengths[0]))
        with m.If(taken):
            m.d.sync += index.eq(Mux(ends, 0, index + 1))

        self.demand("no beat without its address", ~taken | (bursts != 0))
        can_go = ~block.w.valid | block.w.ready
        self.demand("every beat of an address is asked for", block.beats.ready == ((bursts != 0) & can_go))
        self.demand(
            "a beat goes out as it came",
            ~self._started
            | ~self.past(taken)
            | (block.w.valid & (block.w.payload.data == self.past(block.beats.payload))),
        )
        self.demand("nothing else goes out", ~self._started | self.past(taken | ~can_go) | ~block.w.valid)
        self.demand(
            "the end of a burst is marked",
            ~self._started | ~self.past(taken) | (block.w.payload.last == self.past(ends)),
        )

        # What the induction needs to know of the inside: the list is the burst at work, then the queue.
        sending, last = self.peek("sending"), self.peek("last")
        left, level = self.peek("left", INDEX_BITS), self.peek("lengths.fifo.level", 4)
        consume = self.peek("lengths.fifo.consume", 3)
        stored = Array([self.peek(f"lengths.fifo.storage[{n}]", INDEX_BITS + 1) for n in range(BURSTS)])
        self.inside("issued", self.peek("issued") == issued)
        self.inside("list", bursts == level + sending)
        self.inside("nothing waits behind nothing", sending | (level == 0))
        self.inside("left", ~sending | (lengths[0] == left + index))
        self.inside("not past its end", ~sending | (left + index < BURST_BEATS))
        self.inside("index", sending | (index == 0))
        self.inside("last", ~sending | (last == (left == 0)))
        self.inside("pointers", (self.peek("lengths.fifo.produce", 3) - consume - level)[:3] == 0)
        for n in range(BURSTS):
            entry = stored[(consume + n)[:3]]
            same = (entry[:INDEX_BITS] == lengths[n + 1]) & (entry[INDEX_BITS] == (lengths[n + 1] == 0))
            self.inside(f"queue place {n}", (level <= n) | same)
        unsent = bursts + issued + complete + (block.w.valid & block.w.payload.last)
        self.inside(
            "count of bursts",
            self.peek("outstanding.count", BURSTS.bit_length()) == unsent,
        )
        self.inside("issued before answered", ~issued | (self.peek("outstanding.count", 4) != 0))
