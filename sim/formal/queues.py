"""Queues: nothing is lost, added or overtaken."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Signal

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.control.queue import Queue
from cpt.sim.formal.properties import Properties


class QueueProperties(Properties):
    """A token, chosen at any push, leaves as it came in and after exactly those that were in front of it."""

    def __init__(self, depth: int, width: int = 4) -> None:
        self._depth, self._width = depth, width
        super().__init__(Queue(width, depth))

    def describe(self) -> None:
        """Order, bound, and the streams' rules."""
        m, queue, depth = self._module, self.block, self._depth
        bits = depth.bit_length()
        put, get = queue.i.valid & queue.i.ready, queue.o.valid & queue.o.ready
        level = self.counter("level", bits + 2, put, get)
        chosen = self.free("chosen", 1)
        tracking, ahead, token = Signal(), Signal(bits + 2), Signal(self._width)
        with m.If(put & chosen & ~tracking):
            m.d.sync += [tracking.eq(1), ahead.eq(level - get), token.eq(queue.i.payload)]
        with m.Elif(tracking & get):
            m.d.sync += [ahead.eq(ahead - 1), tracking.eq(ahead != 0)]

        self.reach("full", level == depth)
        self.reach("a token leaves", tracking & get & (ahead == 0))
        produce, consume = (self.peek(f"{name}_0", bits) for name in ("produce", "consume"))
        stored = Array([self.peek(f"storage_0[{n}]", self._width) for n in range(1 << bits)])
        place: Any = consume + ahead
        self.demand("at most its depth", level <= depth)
        self.demand("empty says so", queue.o.valid == (level != 0))
        self.demand("full says so", queue.i.ready == (level != depth))
        self.demand(
            "the token leaves in its turn", ~(tracking & get & (ahead == 0)) | (queue.o.payload == token)
        )
        self.demand("what is offered stays", self.kept(queue.o.valid, queue.o.ready, queue.o.payload))
        # What the induction needs to know of the inside.
        self.inside("level", self.peek("stored.above", depth) == ((1 << level) - 1)[:depth])
        self.inside("pointers", (produce - consume - level)[:bits] == 0)
        for name, pointer in (("produce", produce), ("consume", consume)):
            following = self.peek(f"{name}_following", bits)
            self.inside(f"behind {name}", following == (pointer + 1)[:bits])
        self.inside("token is inside", ~tracking | (ahead < level))
        self.inside("token is in its place", ~tracking | (stored[place[:bits]] == token))


class CountProperties(Properties):
    """Both ends of a count are known in the cycle in which they are reached, however many it counts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        super().__init__(Outstanding(limit))

    def describe(self) -> None:
        """Nobody counts beyond an end."""
        count, limit = self.block, self._limit
        bits = limit.bit_length()
        level = self.counter("level", bits + 2, count.issue, count.finish)
        self.assume(~count.issue | (level < limit))
        self.assume(~count.finish | (level > 0))
        self.demand("between its ends", level <= limit)
        self.demand("none says so", count.none == (level == 0))
        self.demand("full says so", count.full == (level == limit))
        self.reach("one comes while one goes", count.issue & count.finish)
        if self.outside_only:
            return
        lag, came, went = self.peek("lag", bits), self.peek("came"), self.peek("went")
        self.inside("one way at a time", ~(came & went))
        self.inside("count", level == (lag + came - went)[: bits + 2])
        self.inside("lag", lag <= limit)
        for at in {place + step for place in (2, limit - 2) for step in (-1, 0, 1)}:
            self.inside(f"lag at {at}", self.peek(f"lag_{at}") == (lag == at))
        for name, at in (("single", 1), ("almost", limit - 1)):
            self.inside(name, self.peek(name) == (level == at))
