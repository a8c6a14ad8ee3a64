"""Walks the tiles of APPLY: their words in scratch, channel by channel, to codes or words."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.passes import Apply
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.kinds import Added
from cpt.hw.vector.noise_steps import NOISE_SHAPE, noise_shape
from cpt.hw.vector.pool import POOLED
from cpt.hw.vector.walk import IN_WORDS_LOG2, Places, walk_members


class ApplyWalk(wiring.Component):
    """A tile of pixels is a unit, all its channels.

    Parameters: ``words`` of scratch. Members: `walk_members`; ``go``: a slot may come; ``settled``: all units
    that began are in the mark; ``room``: there is for a group of codes, and ``takes_room``; ``noise_start``,
    ``noise_shape``, ``noise_ready``: of `Noise`; ``fill``, ``flush``, ``place``, ``pool_busy``: of `Pool`;
    ``flushed``: a unit of POOL, the last of its image, is done. A word a cycle while it may go.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        super().__init__(
            {
                **walk_members(config, words),
                "go": In(1),
                "settled": In(1),
                "room": In(1),
                "takes_room": Out(1),
                "noise_start": Out(1),
                "noise_shape": Out(NOISE_SHAPE),
                "noise_ready": In(1),
                "fill": Out(1),
                "flush": Out(1),
                "place": Out(POOLED),
                "pool_busy": In(1),
                "flushed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        at = Places(m, self, Code.APPLY, "groups")
        word, slot, settings, ends = at.word, self.slot, at.settings, at.ends
        alike = Signal(2)
        twice = Signal()
        half = len(word.y) // 2
        differs = word.y ^ (word.second << IN_WORDS_LOG2)
        m.d.sync += [
            alike.eq(Cat(~differs[:half].any(), ~differs[half:].any())),
            twice.eq(alike.all()),
        ]
        m.d.comb += [at.decode.kind.eq(word.kind), at.decode.alone.eq(twice)]
        m.d.comb += [
            self.noise_shape.as_value().eq(noise_shape(word)),
            self.idle.eq(at.vacant & self.settled),
            slot.real.eq(at.index < word.channels),
            at.flags.ends.eq(ends["tile"] & ~(settings.pools & ends["image"])),
        ]
        second = word.second << IN_WORDS_LOG2
        at.place(
            {
                "y": Mux(settings.swapped, second, word.y),
                "other": Mux(settings.swapped, word.y, second),
                "mask": second,
                "out": Mux(word.kind == Apply.UNPOOL, word.offset, word.out << IN_WORDS_LOG2),
            }
        )
        self._address(m, at)

        # A group of codes needs room, once.
        words = Signal()
        needs = Signal()
        fits = Signal(init=1)
        """Slots may come; the next one begins a group of codes; there is room if it needs some."""
        needs_after = Signal()
        m.d.comb += [
            self.working.eq(words),
            at.step.eq(words & self.go & fits),
            self.coming.eq(at.step),
            self.takes_room.eq(at.step & needs),
            needs_after.eq(Mux(at.load, settings.codes, Mux(at.step, ends["group"] & settings.codes, needs))),
        ]
        m.d.sync += [needs.eq(needs_after), fits.eq(~needs_after | self.room)]
        # Operands that come one by one would be lost to a slot between them.
        m.d.comb += at.again.eq(words & ~self.go)

        codes_before, done, pooled, stops, stopped = (
            Signal(name=name) for name in ("codes_before", "done", "pooled", "stops", "stopped")
        )
        """Of the instruction before; of this one all; a tile's end is the end of more, and was."""
        follows = Signal()
        """With a tile's end another may begin."""
        quiet = Signal()
        """It needs no noise that is not there."""
        stops_next = at.last_all | (at.last_image & (settings.pools | pooled))
        groups_last = at.counts["groups"].last
        there = Signal()
        """The image before is out of the lanes, and this one's first unit may start."""
        begins = Signal()
        ends_tile = Signal()
        enters = Signal()
        waiting = Signal()
        """A tile may begin from the next cycle on; it may, behind none."""
        may_begin = waiting | (at.step & follows)
        m.d.sync += [
            waiting.eq(enters | (~begins & may_begin)),
            follows.eq(at.group_after & groups_last & ~stops_next),
            there.eq(at.gate.open & self.empty & ~at.load),
            quiet.eq(self.noise_ready | ~settings.noise),
            stopped.eq(ends_tile & stops),
            pooled.eq(settings.added == Added.POOLED),
            stops.eq(stops_next),
            self.noise_start.eq(at.load & settings.noise),
            done.eq(~at.load & (done | (at.step & ends["all"]))),
        ]
        m.d.comb += [
            ends_tile.eq(at.step & ends["tile"]),
            begins.eq(at.gate.open & quiet & may_begin),
        ]
        m.d.sync += words.eq(begins | (words & ~ends_tile))
        with m.If(begins):
            at.begin()
        self._place_of_pool(m, at)
        # A flag for each state: of their numbers an enable would be made, a further net.
        leaves = {
            "empty": at.prepared,
            # Codes wait for the bus, and nothing else may be in the mark before them.
            "prepared": self.settled | (codes_before & settings.codes),
            "image": ~pooled | there,
            "fill": ~self.fill & ~self.pool_busy,
            "words": stopped,
            "flush": self.empty,
            "flushed": ~self.flush & ~self.pool_busy,
            "out": self.early,
        }
        states = {name: Signal(name=f"is_{name}", init=name == "empty") for name in leaves}
        left = {name: states[name] & leave for name, leave in leaves.items()}
        after_words = left["words"] & ~settings.pools
        entered = {
            "empty": left["out"],
            "prepared": left["empty"],
            "image": left["prepared"] | (after_words & ~at.last_all) | (left["flushed"] & ~done),
            "fill": left["image"] & pooled,
            "words": enters,
            "flush": left["words"] & settings.pools,
            "flushed": left["flush"],
            "out": (after_words & at.last_all) | (left["flushed"] & done),
        }
        m.d.sync += [state.eq(entered[name] | (state & ~leaves[name])) for name, state in states.items()]
        m.d.comb += [
            at.load.eq(left["prepared"]),
            enters.eq((left["image"] & ~pooled) | left["fill"]),
            self.flushed.eq(left["flushed"]),
        ]
        m.d.sync += [
            self.fill.eq(entered["fill"]),
            self.flush.eq(left["flush"]),
            at.ended.eq(left["out"]),
        ]
        with m.If(left["out"]):
            m.d.sync += codes_before.eq(settings.codes)
        return m

    def _place_of_pool(self, m, at) -> None:
        """Where the numbers of the image at hand are, and behind it of the next."""
        word = at.word
        loads, moves = (
            copies(m, when, 1, name, reset_less=False)[0]
            for when, name in ((at.load, "load_place"), (self.fill | self.flush, "next_place"))
        )
        with m.If(loads):
            m.d.sync += [self.place.local.eq(word.out), self.place.channels.eq(word.channels)]
        with m.Elif(moves):
            m.d.sync += self.place.local.eq(self.place.local + self.place.channels)

    def _address(self, m, at) -> None:
        """Where a group's codes go."""
        word = at.word
        stride = Signal(32, reset_less=True)
        tile_stride = Signal(32, reset_less=True)
        """From one group's codes to the next, to the first of the next tile."""
        plane_bytes = self.config.cols * self.config.group_channels // 8
        m.d.sync += stride.eq((word.planes * plane_bytes + (STREAM_BYTES - 1)) & ~Const(STREAM_BYTES - 1, 32))
        # Memory may hold more groups of a tile than there are here.
        group_log2 = (self.config.group_channels - 1).bit_length()
        beyond = Signal(len(word.groups), reset_less=True)
        m.d.sync += beyond.eq(((word.channels + self.config.group_channels - 1) >> group_log2) - word.groups)
        terms = [*(Mux(bit, stride << n, 0) for n, bit in enumerate(beyond)), stride]
        parts = []
        for n in range(0, len(terms), 3):
            part = Signal.like(stride, name=f"beyond_{n}", reset_less=True)
            m.d.sync += part.eq(sum(terms[n : n + 3]))
            parts.append(part)
        m.d.sync += tile_stride.eq(sum(parts))
        address = Signal(32, reset_less=True)
        (moves,), (tiles,), (loads,) = (
            at.behind("group", 1),
            at.behind("tile", 1),
            copies(m, at.load, 1, "load_address", reset_less=False),
        )
        with m.If(loads):
            m.d.sync += address.eq(at.command.address)
        with m.Elif(moves):
            m.d.sync += address.eq(address + Mux(tiles, tile_stride, stride))
        m.d.comb += self.slot.address.eq(address)
