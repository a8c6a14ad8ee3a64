"""Slots in the window memories: who may be filled, read and given back."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import DONE_WIDTH
from cpt.hw.matrix.copies import copies

RINGS = 2
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


class Ring(wiring.Component):
    """Takes slots for the fill, offers filled ones to EXEC in order, and takes them back in order.

    Parameters: ``config``.
    Members: ``requests`` (`slot_requests`); ``filled``: so many more slots are complete; ``tiles`` (out):
    base of the next filled slot; ``release``: EXEC has finished with the oldest that it took; ``empty``: no
    slot is taken; ``complete``: none that is taken lacks anything; ``offered``: nor waits for EXEC.
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
                "offered": Out(1, init=1),
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
            self.offered.eq((lacking == 0) & (ready == 0) & ~self.tiles.valid & ~takes),
            offered.eq(offers),
            ready.eq(ready + self.filled - offered),
            released.eq(released + self.release - oldest.advance),
        ]
        return m


class Slots(wiring.Component):
    """Slots of one command after the other, each in a ring of its own: by turns in either half of the
    memories, or in all of them.

    So the slots of a command are filled while EXEC still reads those of the one before, if both take a half.
    Bases that ``requests`` grants are those of the lower half; ``tiles`` has those of memory.

    Parameters: ``config``.
    Members: ``requests``, ``filled``, ``tiles``, ``release``: as in `Ring`, of the command that is at work
    there; ``begins``: the next command does, which takes a half if ``half``; ``may_half``, ``may``: one that
    takes a half, or any, may begin, as far as slots go; ``upper``: its half is the upper one; ``empty``: no
    slot is taken.
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
                "begins": In(1),
                "half": In(1),
                "may_half": Out(1, init=1),
                "may": Out(1, init=1),
                "upper": Out(1, init=1),
                "empty": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rings = [Ring(self.config) for _ in range(RINGS)]
        reading, releasing, halved, back = (
            Signal(name=name) for name in ("reading", "releasing", "halved", "back")
        )
        """The rings that EXEC takes slots of, and gives them back to; the command that fills has a half; all
        that EXEC took there is given back."""
        turned = Signal()
        filling, *fillings = copies(m, turned, 1 + 3 * RINGS, "filling", reset_less=False)
        """The ring of the command that fills."""
        m.d.comb += turned.eq(filling ^ self.begins)
        (release,) = copies(m, self.release, 1, "released", reset_less=False)
        owed = [Signal(range(self.config.b_depth_words + 1), name=f"owed_{n}") for n in range(RINGS)]
        for n, ring in enumerate(rings):
            m.submodules[f"ring_{n}"] = ring
            mine, *sides = (side == n for side in fillings[n::RINGS])
            # What the command before had stands for the slots that are left of it.
            for name, side in zip(("words", "limit"), sides, strict=True):
                asked, used = getattr(self.requests, name), getattr(ring.requests, name)
                kept = Signal.like(asked, name=f"{name}_{n}", reset_less=True)
                with m.If(side):
                    m.d.sync += kept.eq(asked)
                m.d.comb += used.eq(Mux(side, asked, kept))
            (taken,) = copies(m, ring.tiles.valid & ring.tiles.ready, 1, f"taken_{n}", reset_less=False)
            given = Signal(name=f"given_{n}")
            m.d.comb += [
                ring.requests.start.eq(self.requests.start & mine),
                ring.requests.wanted.eq(self.requests.wanted & mine),
                ring.filled.eq(Mux(mine, self.filled, 0)),
                ring.tiles.ready.eq(self.tiles.ready & (reading == n)),
                given.eq(release & (releasing == n)),
                ring.release.eq(given),
            ]
            m.d.sync += owed[n].eq(owed[n] + taken - given)
        lower, upper = rings
        m.d.sync += back.eq(Mux(releasing, owed[1] == 0, owed[0] == 0))
        both_empty = lower.empty & upper.empty
        settled = (reading == filling) & (releasing == filling)
        m.d.comb += [
            self.requests.granted.eq(Mux(filling, upper.requests.granted, lower.requests.granted)),
            self.requests.base.eq(Mux(filling, upper.requests.base, lower.requests.base)),
            self.tiles.valid.eq(Mux(reading, upper.tiles.valid, lower.tiles.valid)),
            self.upper.eq(~filling),
        ]
        at_half = len(self.tiles.payload) - 1
        in_upper = Signal()
        """The slots of the upper ring are in the upper half."""
        m.d.comb += self.tiles.payload.eq(
            Mux(reading, upper.tiles.payload | (in_upper << at_half), lower.tiles.payload)
        )
        # A command leaves its ring behind when the next begins: no slot is taken there then.
        done = Mux(reading, upper.offered, lower.offered)
        with m.If((reading != filling) & done):
            m.d.sync += reading.eq(filling)
        with m.If((releasing != filling) & (reading == filling) & back):
            m.d.sync += releasing.eq(filling)
        complete = Mux(filling, upper.complete, lower.complete)
        free = Mux(filling, lower.empty, upper.empty)
        m.d.sync += [
            self.may_half.eq(settled & complete & free & (halved | both_empty) & ~self.begins),
            self.may.eq(settled & both_empty & ~self.begins),
            self.empty.eq(both_empty),
        ]
        with m.If(self.begins):
            m.d.sync += halved.eq(self.half)
            with m.If(~filling):
                m.d.sync += in_upper.eq(self.half)
        return m
