"""The steps of every plane pair, and who waits for whom."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE, array_latency_cycles, collector_latency_cycles
from cpt.hw.contract.order import tile_interval_cycles
from cpt.hw.layouts import pair_layout, step_layout
from cpt.hw.matrix.copies import copies, one_less, tokens

_FIELDS = (
    ("a_word", "fresh", "clear", "double", "count", "subtract", "b_subtract", "first", "last"),
    ("b_word", "more", "two", "tile_last", "block_last", "command_last", "releases_a"),
    ("taps",),
)
"""Fields of the pair at work, by the copy of what moves them."""
_PARTS = len(_FIELDS)


def most_in_flight(config: ArrayConfig) -> int:
    """Tiles between their last step and the end of their collection, at most."""
    cycles = 1 + array_latency_cycles(config) + collector_latency_cycles(config)
    return -(-cycles // tile_interval_cycles(config)) + 1


class Steps(wiring.Component):
    """Takes a step of a plane pair in every cycle in which operands and result path allow it.

    A pair that is the first to read a block waits until the block is there; the last step of a tile waits
    for the collector and, with ``first``, for a result tile.

    Parameters: ``config``; ``result_tiles``: room of the result buffer.
    Members: ``pairs`` (in); ``valid``, ``step`` (out): the step for buffers and array; ``a_loaded``,
    ``b_loaded``: a block is in its buffer; ``a_release``, ``b_release``: a block is done with; ``collected``:
    the collector has finished a tile; ``tile_free``: DRAIN has sent a result tile; ``busy``, ``wait_fetch``,
    ``wait_drain``: what the cycle before was spent on; ``stop``: take no pair, from the next
    cycle on; ``finished``: the last step of a command was taken; ``in_flight``: tiles are not collected.
    All outputs but ``pairs.ready`` are registers. A pair's first step is taken two cycles after the pair,
    and seen in the next.
    """

    def __init__(self, config: ArrayConfig, result_tiles: int = MACHINE.result_tiles):
        self.config, self.result_tiles = config, result_tiles
        self._step, self._pair = step_layout(config), pair_layout(config)
        super().__init__(
            {
                "pairs": In(stream.Signature(pair_layout(config))),
                "valid": Out(1),
                "step": Out(self._step),
                "a_loaded": In(1),
                "b_loaded": In(1),
                "a_release": Out(1),
                "b_release": Out(1),
                "collected": In(1),
                "tile_free": In(1),
                "busy": Out(1),
                "wait_fetch": Out(1),
                "wait_drain": Out(1),
                "stop": In(1),
                "finished": Out(1),
                "in_flight": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The next pair, once the blocks that it begins to read are there.
        there, replaced, begins, head = (Signal(name=n) for n in ("there", "replaced", "begins", "head"))
        pair = Signal(self._pair, reset_less=True)
        self._take(m, pair, head, replaced, there)

        # The pair at work, its words those of its step; `more`: that is not the last; `ends`: a tile's last.
        work = Signal(self._pair, reset_less=True)
        half_a, half_b = Signal(name="half_a", init=1), Signal(name="half_b", init=1)
        valid, missing = Signal(name="valid"), Signal(name="missing")
        more_next = Signal()
        ends_next = Signal()
        goes = Signal(_PARTS)
        with m.If(goes[0]):
            mores = copies(m, more_next, _PARTS, "more", reset_less=False)
            ends = copies(m, ends_next, _PARTS, "ends", reset_less=False)
        more = mores[0]

        # A blocked step holds its pair; else a step is taken. `over`: the pair's last step, which ends no
        # tile, or no pair at all.
        allowed = Signal()
        issue = Signal()
        last_issue = Signal()
        over = Signal(init=1)
        early = self._early(m, last_issue)
        free = tokens(m, "free_tiles", self.result_tiles, self.tile_free, last_issue & work.first, full=True)
        m.d.comb += [
            *(go.eq(~end | allowed) for go, end in zip(goes, ends, strict=True)),
            allowed.eq(~early[0] & (free[0] | ~work.first)),
            replaced.eq(over | (ends[1] & ~early[1] & (free[0] | ~work.first))),
            begins.eq(head & replaced),
            issue.eq(valid & goes[0]),
            last_issue.eq(ends[0] & allowed),
        ]
        # `two`: one step is left behind this one.
        m.d.comb += [
            more_next.eq(Mux(more, ~work.two, head & ~pair.single)),
            ends_next.eq(Mux(more, work.two & work.tile_last, head & pair.single_tile)),
        ]
        with m.If(goes[0]):
            m.d.sync += [valid.eq(more | head), over.eq(~(more_next | ends_next))]
        counted = {"a_word": work.a_word + 1, "b_word": work.b_word + 1, "more": one_less(work.more)}
        counted["two"] = work.more == 1
        once = ("fresh", "clear", "double")
        for number, names in enumerate(_FIELDS):
            with m.If(goes[number]):
                for name in names:
                    following = counted.get(name, 0 if name in once else work[name])
                    m.d.sync += work[name].eq(Mux(mores[number], following, pair[name]))
        with m.If(begins):
            m.d.sync += [half_a.eq(half_a ^ pair.takes_a), half_b.eq(half_b ^ pair.takes_b)]

        open_tile = Signal(init=MACHINE.result_tiles - 1)
        m.d.sync += [
            open_tile.eq(open_tile ^ (last_issue & work.first)),
            self.valid.eq(issue),
            self.busy.eq(issue),
            self.wait_drain.eq(ends[0] & ~allowed),
            self.wait_fetch.eq(replaced & ~head & missing),
            missing.eq(self.pairs.valid & ~there),
            self.b_release.eq(last_issue & work.block_last),
            self.a_release.eq(last_issue & work.releases_a),
            self.finished.eq(last_issue & work.command_last),
            *(self.step[name].eq(work[name]) for name in ("fresh", "clear", "double", "count", "subtract")),
            *(self.step[name].eq(work[name]) for name in ("b_subtract", "taps")),
            self.step.a_addr.eq(Cat(work.a_word, half_a)),
            self.step.b_addr.eq(Cat(work.b_word, half_b)),
            self.step.capture.eq(ends[0]),
            self.step.collect.tile.eq(open_tile ^ work.first),
            self.step.collect.first.eq(work.first),
            self.step.collect.last.eq(work.last),
        ]
        return m

    def _take(self, m, pair, head, replaced, there):
        """Into ``pair`` what comes, while ``head`` holds none or it begins now."""
        stop = Signal()
        following = Signal()
        fetched = Signal()
        heads = copies(m, following, 2, "head", reset_less=False)
        given = self.pairs.payload
        m.d.sync += stop.eq(self.stop)
        ready = {}
        for operand in "ab":
            loaded, takes = getattr(self, f"{operand}_loaded"), getattr(given, f"takes_{operand}")
            ready[operand] = tokens(m, f"{operand}_ready", MACHINE.halves, loaded, fetched & takes)
        m.d.comb += [
            head.eq(heads[0]),
            there.eq((ready["a"][0] | ~given.takes_a) & (ready["b"][0] | ~given.takes_b)),
            fetched.eq(self.pairs.valid & self.pairs.ready),
            self.pairs.ready.eq(there & ~stop & (~head | replaced)),
            following.eq(fetched | (head & ~replaced)),
        ]
        into, source = pair.as_value(), given.as_value()
        half = len(into) // 2
        for held, part in zip(heads, (slice(0, half), slice(half, len(into))), strict=True):
            with m.If(there & (~held | replaced)):
                m.d.sync += into[part].eq(source[part])

    def _early(self, m, last_issue):
        """Two copies of whether the last tile's end is too near for another; counts what is in flight."""
        in_flight = Signal(range(most_in_flight(self.config) + 1))
        m.d.sync += in_flight.eq(in_flight + last_issue - self.collected)
        m.d.comb += self.in_flight.eq(in_flight != 0)
        interval = tile_interval_cycles(self.config)
        wait = Signal(range(interval - 1))
        early = Signal()
        found = copies(m, early, 2, "early", reset_less=False)
        m.d.comb += early.eq(last_issue | (found[0] & (wait != 0)))
        m.d.sync += wait.eq(Mux(last_issue, interval - 2, Mux(wait == 0, 0, one_less(wait))))
        return found
