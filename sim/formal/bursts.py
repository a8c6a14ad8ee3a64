"""The burst generator: a run is covered exactly, by bursts that the rule allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth import Array, Cat, Mux, Signal

from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN_BEATS_WIDTH
from cpt.sim.formal.properties import Properties

BEAT_BITS = (BEAT_BYTES - 1).bit_length()
INDEX_BITS = (BURST_BEATS - 1).bit_length()
BURSTS = MACHINE.outstanding_bursts
LINE = slice(BEAT_BITS + INDEX_BITS, 32)
INDEX = slice(BEAT_BITS, BEAT_BITS + INDEX_BITS)


def first_line(block: Properties, path: str, index: Any, beats: Any) -> dict[str, Any]:
    """What a generator at ``path`` knows of a run that waits, and that it is so, by name."""
    few = beats[:INDEX_BITS]
    return {
        "upto": block.peek(f"{path}upto", INDEX_BITS + 1) == index + (BURST_BEATS - 1),
        "within": block.peek(f"{path}within") == (index + few <= BURST_BEATS),
        "whole": block.peek(f"{path}whole") == ~(index.any() | few.any()),
    }


class BurstProperties(Properties):
    """Bursts are those of the rule "to the end of the line or of the run", worked out by subtraction.

    A burst is looked at as it enters the queue at the output; what the queue hands on is a matter of its own.
    """

    def __init__(self) -> None:
        super().__init__(BurstGenerator())

    def describe(self) -> None:
        """Any runs of at least one beat at multiples of 8; a burst ends only after the port has taken it."""
        m, block = self._module, self.block
        run, burst = block.runs.payload, block.bursts
        accepted, taken = block.runs.valid & block.runs.ready, burst.valid & burst.ready
        self.assume(~block.runs.valid | ((run.beats != 0) & (run.addr[:BEAT_BITS] == 0)))
        unfinished = self.counter("unfinished", BURSTS.bit_length(), taken, block.finish)
        self.assume(~block.finish | (unfinished != 0))

        address, beats = Signal(32), Signal(RUN_BEATS_WIDTH)
        """What is left of the run that is being cut."""
        waiting, next_address, next_beats = Signal(), Signal(32), Signal(RUN_BEATS_WIDTH)
        room, length = Signal(INDEX_BITS + 1), Signal(INDEX_BITS + 1)
        m.d.comb += [room.eq(BURST_BEATS - address[INDEX]), length.eq(Mux(beats < room, beats, room))]
        expected, count = self.list_of(
            "burst", BURSTS, 32 + INDEX_BITS, block.issue, Cat(address, (length - 1)[:INDEX_BITS]), taken
        )
        move = waiting & (beats == 0)
        with m.If(block.issue):
            m.d.sync += [address.eq(address + (length << BEAT_BITS)), beats.eq(beats - length)]
        with m.If(move):
            m.d.sync += [address.eq(next_address), beats.eq(next_beats), waiting.eq(0)]
        with m.If(accepted):
            m.d.sync += [next_address.eq(run.addr), next_beats.eq(run.beats), waiting.eq(1)]

        in_flight = unfinished + count
        self.demand("bursts are kept", self.kept(burst.valid, burst.ready, burst.payload))
        self.demand("a burst for each that was issued", burst.valid == (count != 0))
        self.demand("address of a burst", ~burst.valid | (burst.payload.addr == expected[0][:32]))
        self.demand("length of a burst", ~burst.valid | (burst.payload.len == expected[0][32:]))
        end = burst.payload.addr[INDEX] + burst.payload.len
        self.demand("a burst is short", ~burst.valid | (burst.payload.len < BURST_BEATS))
        self.demand("a burst stays in its line", ~burst.valid | (end < BURST_BEATS))
        self.demand("a burst is aligned", ~burst.valid | (burst.payload.addr[:BEAT_BITS] == 0))
        self.demand("nothing is issued while stopped", ~(self._started & self.past(block.stop) & block.issue))
        self.demand("nothing is issued without a run", ~block.issue | (beats != 0))
        self.demand("what is issued is told", ~block.issue | (block.rest == length - 1))
        self.demand("no run is overtaken", ~accepted | ~waiting)
        self.demand("bursts in flight are bounded", in_flight <= BURSTS)
        self.demand("idle says so", block.idle == ((beats == 0) & ~waiting & (in_flight == 0)))
        self.demand("quiet says so", ~block.quiet | (in_flight == 0))
        self.demand(
            "nothing begins once stopped and quiet",
            ~(self._started & self.past(block.stop & block.quiet) & burst.valid),
        )

        self.reach(
            "a short first burst of a long run",
            burst.valid & (beats > BURST_BEATS) & (burst.payload.len == 2),
        )
        self.reach("as many as agreed", in_flight == BURSTS)

        # What the induction needs to know of the inside.
        same = self.peek("stopped_0") == self.past(block.stop)
        self.inside("stopped", ~self._started | same)
        for n in range(3):
            self.inside(f"resting {n}", self.peek(f"resting_{n}") == (beats == 0))
            self.inside(f"stopped {n}", self.peek(f"stopped_{n}") == self.peek("stopped_0"))
        for n in range(3):
            self.inside(f"vacant {n}", self.peek(f"vacant_{n}") == ~waiting)
        self.inside("waiting beats", ~waiting | (self.peek("beats", RUN_BEATS_WIDTH) == next_beats))
        self.inside(
            "waiting line", ~waiting | (self.peek("waiting_line", 32 - LINE.start) == next_address[LINE])
        )
        self.inside(
            "waiting index", ~waiting | (self.peek("waiting_index", INDEX_BITS) == next_address[INDEX])
        )
        long = next_beats[INDEX_BITS + 1 :].any()
        self.inside("waiting long", ~waiting | (self.peek("long") == long))
        for name, known in first_line(self, "", next_address[INDEX], next_beats).items():
            self.inside(f"waiting {name}", ~waiting | known)
        self.inside("waiting aligned", next_address[:BEAT_BITS] == 0)
        self.inside("waiting is not empty", ~waiting | (next_beats != 0))
        active, first, last = beats != 0, self.peek("first"), self.peek("last")
        index = self.peek("index", INDEX_BITS)
        left = self.peek("left", RUN_BEATS_WIDTH + 1 - INDEX_BITS)
        upto = beats + address[INDEX]
        self.inside("last", ~active | (last == (upto <= BURST_BEATS)))
        self.inside("left", ~active | (left == (upto + BURST_BEATS - 1) >> INDEX_BITS))
        few = self.peek("few")
        self.inside("few", ~active | Mux(few, left < 2 * BURST_BEATS, left >= BURST_BEATS))
        self.inside("line", ~active | (self.peek("line", 32 - LINE.start) == address[LINE]))
        self.inside("place of the first", ~(active & first) | (index == address[INDEX]))
        self.inside("place of the others", ~active | first | (address[INDEX] == 0))
        self.inside(
            "length of the only", ~(active & first) | (self.peek("only_rest", INDEX_BITS) == (beats - 1)[:4])
        )
        self.inside("length of the last", ~active | (self.peek("last_rest", INDEX_BITS) == (upto - 1)[:4]))
        self.inside("aligned", address[:BEAT_BITS] == 0)
        self.inside("count", self.peek("outstanding.above", BURSTS) == ((1 << in_flight) - 1)[:BURSTS])
        for n, entry in enumerate(expected):
            self.inside(f"aligned {n}", (count <= n) | (entry[:BEAT_BITS] == 0))
            inside = entry[INDEX] + entry[32:] < BURST_BEATS
            self.inside(f"burst {n} stays in its line", (count <= n) | inside)
        queued(self, "queue", burst.valid, expected, count, lambda entry: entry[BEAT_BITS:])


def queued(
    properties: Properties,
    path: str,
    valid: Any,
    entries: list[Any],
    count: Any,
    stored_as: Callable[[Any], Any],
    *,
    late: bool = False,
) -> None:
    """The `cpt.hw.bus.roomy_queue.RoomyQueue` at ``path`` holds ``count`` ``entries``, the front first."""
    if properties.outside_only:
        return
    places = len(entries)
    bits = (places - 1).bit_length()
    produce, consume = (properties.peek(f"{path}.{name}", bits) for name in ("produce", "consume"))
    width = len(stored_as(entries[0]))
    stored = Array([properties.peek(f"{path}.memory[{n}]", width) for n in range(places)])
    properties.inside(f"{path}: valid", valid == (count != 0))
    properties.inside(f"{path}: pointers", (produce - consume - count)[:bits] == 0)
    properties.inside(f"{path}: bound", count <= places)
    if not late:
        second = properties.peek(f"{path}.second", bits)
        properties.inside(f"{path}: second", second == (consume + 1)[:bits])
    for n, entry in enumerate(entries):
        place = (consume + n)[:bits]
        properties.inside(f"{path}: place {n}", (count <= n) | (stored[place] == stored_as(entry)))
