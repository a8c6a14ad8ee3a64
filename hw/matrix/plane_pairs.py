"""Tiles as plane pairs: anti-diagonals from the highest weight down, and the pairs of each."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import PLANE_WIDTH, PLANES, order_layout, tile_layout
from cpt.hw.matrix.copies import copies, one_less, one_more

RUNS = 4
"""Copies of what lets the order go on, so that none has too many loads."""


class PlanePairs(wiring.Component):
    """Walks the plane pairs of every tile in the order of `cpt.hw.contract.order`, bubbles included.

    Two walkers, one behind the other: diagonals of a tile, pairs of a diagonal. Each has its item in
    registers, with one that says whether it is the last, and takes the next from the one before it.

    Parameters: ``config``.
    Members: ``tile``, ``tile_valid`` (in), ``take``: it is taken; ``planes`` (in, by ``tile.slot``); ``run``:
    go on, `RUNS` copies; ``valid``, ``pair`` (out): the pair that is left in a cycle with ``run``.
    Latency two cycles from a tile to its first pair; a pair per cycle, without a gap between tiles.
    """

    latency_cycles = 2

    def __init__(self, config: ArrayConfig):
        self._tile = tile_layout(config)
        super().__init__(
            {
                "tile": In(self._tile),
                "tile_valid": In(1),
                "take": Out(1),
                "planes": In(PLANES).array(MACHINE.exec_commands),
                "run": In(RUNS),
                "valid": Out(1),
                "pair": Out(order_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A diagonal: its lowest plane of A with that of B, pairs beside the first, whether the first comes
        # last, and whether a bubble goes before it. `last` holds without one too.
        tile = Signal(self._tile, reset_less=True)
        valid = Signal()
        last = Signal(init=1)
        plane_a, plane_b, more = (
            Signal(PLANE_WIDTH, name=n, reset_less=True) for n in ("low_a", "high_b", "more")
        )
        clear, bubble, rotated = (Signal(name=n, reset_less=True) for n in ("top", "negative", "rotated"))
        more_pairs = Signal()
        move = Signal()
        falls_a = Signal(reset_less=True)
        inside = copies(m, more_pairs, RUNS, "inside", reset_less=False)
        m.d.comb += [
            move.eq((self.run[2] & ~inside[2]) | ~valid),
            self.take.eq(((self.run[3] & ~inside[3]) | ~valid) & last),
        ]

        of_tile = PLANES(Mux(self.tile.slot, self.planes[1].as_value(), self.planes[0].as_value()))
        own = PLANES(Mux(tile.slot, self.planes[1].as_value(), self.planes[0].as_value()))
        whole = more == plane_b
        with m.If(self.take):
            m.d.sync += tile.eq(self.tile)
        with m.If(move & last):
            m.d.sync += [
                valid.eq(self.tile_valid),
                falls_a.eq(~of_tile.one_a),
                last.eq(~self.tile_valid | (of_tile.one_a & of_tile.one_b)),
                plane_a.eq(of_tile.top_a),
                plane_b.eq(of_tile.top_b),
                more.eq(0),
                clear.eq(1),
                bubble.eq(0),
                rotated.eq(0),
            ]
        with m.Elif(move):
            m.d.sync += clear.eq(0)
            with m.If(falls_a):
                # It starts at the top plane of B, negative in all its pairs but perhaps that at the top of A.
                m.d.sync += [
                    plane_a.eq(one_less(plane_a)),
                    falls_a.eq(plane_a != 1),
                    more.eq(Mux(whole, more, one_more(more))),
                    rotated.eq(own.signed_b & ~own.one_b),
                    bubble.eq(own.signed_b & (own.one_b | (own.signed_a & clear))),
                    last.eq((plane_a == 1) & own.one_b),
                ]
            with m.Else():
                m.d.sync += [
                    plane_b.eq(one_less(plane_b)),
                    more.eq(Mux(whole, one_less(more), more)),
                    rotated.eq(0),
                    bubble.eq(own.signed_a & own.one_a),
                    last.eq(plane_b == 1),
                ]
        self._pairs(m, more_pairs, inside, tile, valid, last, plane_a, plane_b, more, clear, bubble, rotated)
        return m

    def _pairs(
        self, m, more_pairs, inside, tile, valid, final, plane_a, plane_b, more, clear, bubble, rotated
    ):
        """The pairs of a diagonal; ``inside``: the one at hand is not its last."""
        pair, run = self.pair, self.run
        first_a, first_b, left = (
            Signal(PLANE_WIDTH, name=n, reset_less=True) for n in ("first_a", "first_b", "left")
        )
        wraps, ends_tile, waits = (Signal(name=n, reset_less=True) for n in ("wraps", "ends_tile", "waits"))
        goes_on = Mux(waits, left != 0, left != 1)
        begins = valid & ((more != 0) | bubble)
        m.d.comb += [
            pair.count.eq(~waits),
            pair.tile_last.eq(~inside[0] & ends_tile),
            more_pairs.eq(Mux(run[1], Mux(inside[1], goes_on, begins), inside[1])),
        ]
        with m.If(run[0] & ~inside[0]):
            m.d.sync += [
                pair.tile.eq(tile),
                first_a.eq(plane_a),
                first_b.eq(plane_b),
                wraps.eq(rotated),
                ends_tile.eq(final),
            ]
        wrap = wraps & (left == 1)
        with m.If(run[1] & ~inside[1]):
            m.d.sync += [
                self.valid.eq(valid),
                pair.plane_a.eq(Mux(rotated, one_more(plane_a), plane_a)),
                pair.plane_b.eq(Mux(rotated, one_less(plane_b), plane_b)),
                pair.clear.eq(clear),
                pair.double.eq(~clear),
                left.eq(more),
                waits.eq(bubble),
            ]
        with m.Elif(run[1]):
            m.d.sync += [pair.clear.eq(0), pair.double.eq(0), waits.eq(0)]
            with m.If(~waits):
                m.d.sync += [
                    left.eq(one_less(left)),
                    pair.plane_a.eq(Mux(wrap, first_a, one_more(pair.plane_a))),
                    pair.plane_b.eq(Mux(wrap, first_b, one_less(pair.plane_b))),
                ]
