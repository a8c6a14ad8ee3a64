"""The ring of slots in the window memories: who may be filled, read and given back."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import DONE_WIDTH
from cpt.hw.matrix.copies import copies

SETTLING = 2
"""Cycles after a step of a pointer until it knows its next one."""


def slot_requests(depth: int) -> wiring.Signature:
    """What a fill asks of `Slots` in a memory of ``depth`` words; `Out` is the fill's side.

    ``start``, ``words``, ``limit``: as in `SlotPointer`, only while no slot is taken; ``wanted``: one more
    slot is needed, ``granted`` with it: it is had, from word ``base`` on. It waits for none.
    """
    words = bits_for(depth)
    return wiring.Signature(
        {
            "start": Out(1),
            "words": Out(words),
            "limit": Out(words),
            "wanted": Out(1),
            "granted": In(1),
            "base": In(range(depth)),
        }
    )


class SlotPointer(wiring.Component):
    """Walks along the slots of a ring: each begins ``words`` behind the one before, the last fits whole.

    Parameters: ``depth`` of the memory in words.
    Members: ``start``: back to the first slot; ``words`` of a slot, ``limit``: depth less words, both stable;
    ``advance``: to the next slot, only while ``settled``; ``base``: where the slot begins, ``ahead`` (while
    settled) and ``behind``: the slots beside it.
    """

    def __init__(self, depth: int):
        words = bits_for(depth)
        super().__init__(
            {
                "start": In(1),
                "words": In(words),
                "limit": In(words),
                "advance": In(1),
                "base": Out(range(depth)),
                "ahead": Out(range(depth)),
                "behind": Out(range(depth)),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = Signal.like(self.words, reset_less=True)
        edge = Signal(signed(len(self.limit) + 1))
        """``edge``: the last word that a slot with one behind it begins at."""
        wraps = Signal()
        after = Signal(len(self.words) + 1)
        settling = Signal(SETTLING, init=(1 << SETTLING) - 1)
        m.d.sync += [
            words.eq(self.words),
            edge.eq(self.limit - self.words),
            after.eq(self.base + words),
            wraps.eq(self.base > edge),
            self.ahead.eq(Mux(wraps, 0, after)),
            settling.eq(settling >> 1),
        ]
        m.d.comb += self.settled.eq(~settling[0])
        with m.If(self.advance):
            m.d.sync += [self.base.eq(self.ahead), self.behind.eq(self.base)]
        with m.If(self.start):
            m.d.sync += [self.base.eq(0), self.behind.eq(0)]
        with m.If(self.advance | self.start):
            m.d.sync += settling.eq((1 << SETTLING) - 1)
        return m


class Slots(wiring.Component):
    """Takes slots for the fill, offers filled ones to EXEC in order, and takes them back in order.

    Parameters: ``config``.
    Members: ``requests`` (`slot_requests`); ``filled``: so many more slots are complete; ``tiles`` (out):
    base of the next filled slot; ``release``: EXEC has finished with the oldest that it took; ``empty``: no
    slot is taken; ``complete``: none that is taken lacks anything.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        depth = config.b_depth_words
        super().__init__(
            {
                "requests": In(slot_requests(depth)),
                "filled": In(DONE_WIDTH),
                "tiles": Out(stream.Signature(range(depth))),
                "release": In(1),
                "empty": Out(1),
                "complete": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self.config.b_depth_words
        m.submodules.newest = newest = SlotPointer(depth)
        m.submodules.reading = reading = SlotPointer(depth)
        m.submodules.oldest = oldest = SlotPointer(depth)
        some_released = Signal()
        none = Signal(init=1)
        taken, ready, released = (Signal(range(depth + 1), name=n) for n in ("taken", "ready", "released"))
        lacking = Signal(range(depth + 1))
        full = Signal()
        takes = Signal()
        offers = Signal()
        """``full``: seen two cycles late, which is when the newest slot is settled."""
        for pointer in (newest, reading, oldest):
            m.d.comb += [
                pointer.words.eq(self.requests.words),
                pointer.limit.eq(self.requests.limit),
            ]
        # Slots are read, and given back, long after the first is taken.
        (later,) = copies(m, self.requests.start, 1, "later_start", reset_less=False)
        m.d.comb += [reading.start.eq(later), oldest.start.eq(later), newest.start.eq(self.requests.start)]
        offered = Signal()
        """The count may lag, as the next slot takes longer to be known."""
        m.d.comb += [
            takes.eq(self.requests.wanted & self.requests.granted),
            self.requests.base.eq(newest.base),
            newest.advance.eq(takes),
            offers.eq(self.tiles.valid & self.tiles.ready),
            self.tiles.payload.eq(reading.base),
            reading.advance.eq(offers),
            oldest.advance.eq(some_released & oldest.settled),
            self.empty.eq(none),
        ]
        m.d.sync += [
            self.requests.granted.eq(newest.settled & ~full & ~takes),
            self.tiles.valid.eq(~offers & (self.tiles.valid | ((ready != 0) & reading.settled))),
            some_released.eq((released != 0) & ~oldest.advance),
            full.eq((taken != 0) & (newest.base == oldest.base)),
            taken.eq(taken + takes - oldest.advance),
            none.eq((taken == 0) & ~takes),
            lacking.eq(lacking + takes - self.filled),
            self.complete.eq((lacking == 0) & ~takes),
            offered.eq(offers),
            ready.eq(ready + self.filled - offered),
            released.eq(released + self.release - oldest.advance),
        ]
        return m
