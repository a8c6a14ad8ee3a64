"""How far the hash inputs of neighbouring elements are apart, along each axis of a tensor in tiles."""

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.passes import IMAGE_BITS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.program.product import Product
from cpt.hw.vector.hash import GOLDEN, HASH_BITS
from cpt.hw.vector.lane import NOISE_BITS

PIXELS = HASH_BITS // NOISE_BITS
"""Neighbours in a row that share a hash."""
_WIDTHS = {item.name: item.width for item in FORMATS[Code.APPLY]}
_SIZES_CYCLES = 3
_STORED_CYCLES = _SIZES_CYCLES + 1
"""From a product's end, or the last size, to the next one's begin: it is stored, and chosen."""
_FACTOR = _WIDTHS["tiles"]
"""Bits of what a constant is multiplied by: more than rows of an image are."""
_NAMED = ("pitch_log2", "strips", "width", "rows_last", "tiles", "channels", "layer")
NOISE_SHAPE = data.StructLayout({name: _WIDTHS[name] for name in _NAMED} | {"place": _WIDTHS["out"]})
"""What of an APPLY numbers its pixels, and makes its key; ``place``: its `noise_place`."""


def noise_shape(word):
    """`NOISE_SHAPE` of an APPLY that is an ERROR."""
    return Cat(*(getattr(word, name) for name in _NAMED), word.out)


class NoiseSteps(wiring.Component):
    """Multiples of `GOLDEN`, made one after the other by sums.

    Members: ``start``: of an instruction of ``shape``, which stays; ``made``: the others are there, at most
    `start_cycles` later; ``right``, ``down``, ``channel``, ``image``: to the next tile in its row, row of
    tiles, channel and image; ``origin``: from the tensor's first element to the instruction's; ``quads``:
    from lane 0 to every fourth.
    """

    start_cycles = 6 * (_FACTOR + Product.latency_cycles + _STORED_CYCLES) + 3 * FILL_PIXELS

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.quads_count = config.cols // PIXELS
        super().__init__(
            {
                "start": In(1),
                "shape": In(NOISE_SHAPE),
                "made": Out(1),
                **{name: Out(HASH_BITS) for name in ("right", "down", "channel", "image", "origin")},
                "quads": Out(data.ArrayLayout(HASH_BITS, self.quads_count)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, cols_log2 = self.shape, bits_for(self.config.cols) - 1
        rows_log2 = copies(m, (cols_log2 - shape.pitch_log2)[: bits_for(cols_log2 - 1)], 3, "rows_log2")
        fours_log2 = copies(m, (shape.pitch_log2 - 2)[: bits_for(cols_log2 - 1)], 3, "fours_log2")
        row = Signal(HASH_BITS, reset_less=True)
        half = HASH_BITS // 2
        down = [(row << log2)[part * half :][:half] for part, log2 in enumerate(rows_log2[:2])]
        m.d.sync += [self.right.eq(GOLDEN << fours_log2[0]), self.down.eq(Cat(down))]
        divided = self._divide(m)
        height, fours = self._sizes(m, divided["quotient"], rows_log2[2], fours_log2[1])

        first_image, first_group = shape.place[:IMAGE_BITS], shape.place[IMAGE_BITS:]
        in_group = bits_for(self.config.group_channels - 1)
        products = (
            (row, Const(GOLDEN, HASH_BITS), fours),
            (self.channel, row, height),
            (self.image, self.channel, shape.channels),
            (self.origin, (self.channel << in_group)[:HASH_BITS], first_group),
            (self.origin, self.image, first_image),  # added to the groups
        )
        ended = self._products(m, divided["done"], products)
        self._quads(m, ended, row, fours_log2[2])
        return m

    def _divide(self, m):
        """Rows of tiles, which are tiles by strips: a bit a cycle. ``done``: for a cycle, it is there."""
        shape = self.shape
        quotient, rest = (
            Signal(bits, name=name, reset_less=True)
            for name, bits in (("tiles_down", _FACTOR), ("rest", len(shape.strips) + 1))
        )
        divides = Signal()
        token = Signal(_FACTOR)
        done = Signal()
        more = Cat(quotient[-1], rest)
        less = (more - shape.strips)[: len(more) + 1]
        fits = ~less[-1]
        m.d.sync += [
            token.eq(Cat(self.start, token)),
            divides.eq(self.start | (divides & ~token[-1])),
            done.eq(token[-1]),
        ]
        with m.If(self.start):
            m.d.sync += [quotient.eq(shape.tiles), rest.eq(0)]
        with m.Elif(divides):
            m.d.sync += [rest.eq(Mux(fits, less, more)), quotient.eq(Cat(fits, quotient))]
        return {"quotient": quotient, "done": done}

    def _sizes(self, m, tiles_down, rows_log2, fours_log2):
        """Rows of the image, and quads of a row of it: `_SIZES_CYCLES` later."""
        shape = self.shape
        names = ("rows", "moved_rows", "last_rows", "height", "strips", "moved_strips", "in_last", "fours")
        signals = {name: Signal(_FACTOR, name=name, reset_less=True) for name in names}
        m.d.sync += [
            signals["rows"].eq(tiles_down - 1),
            signals["moved_rows"].eq(signals["rows"] << rows_log2),
            signals["last_rows"].eq(shape.rows_last + 1),
            signals["height"].eq(signals["moved_rows"] + signals["last_rows"]),
            signals["strips"].eq(shape.strips - 1),
            signals["moved_strips"].eq(signals["strips"] << fours_log2),
            signals["in_last"].eq((shape.width + PIXELS - 1) >> 2),
            signals["fours"].eq(signals["moved_strips"] + signals["in_last"]),
        ]
        return signals["height"], signals["fours"]

    def _products(self, m, begins, products):
        """Each product from those before it; copies of what is high in the cycle after the last one's."""
        m.submodules.product = product = Product(_FACTOR)
        count = len(products)
        places = [Signal(count, name=f"step_{n}", init=1, attrs=KEEP) for n in range(3)]
        """Which product it is: copies for both halves of a factor, and for the rest."""
        factor = Signal(HASH_BITS, reset_less=True)
        by = Signal(_FACTOR, reset_less=True)
        half = HASH_BITS // 2
        chosen = [
            reduce(
                or_, (value[part * half :][:half] & place[n].replicate(half) for n, (_, value, _) in numbered)
            )
            for part, place in enumerate(places[:2])
            for numbered in [list(enumerate(products))]
        ]
        counts = (number & places[2][n].replicate(len(number)) for n, (_, _, number) in enumerate(products))
        waits = Signal(_STORED_CYCLES)
        ended = copies(m, product.done & places[2][-1], 5, "ended", reset_less=False)
        m.d.sync += [
            factor.eq(Cat(chosen)),
            by.eq(reduce(or_, counts)),
            waits.eq(Cat(begins | (product.done & ~places[2][-1]), waits)),
            *(place.eq(Mux(product.done, place.rotate_left(1), place)) for place in places),
        ]
        m.d.comb += [
            product.go.eq(waits[-1]),
            product.on.eq(places[2][-1]),
            product.factor.eq(factor),
            product.count.eq(by),
        ]
        for n, (target, _, _) in enumerate(products):
            (store,) = copies(m, product.done & places[2][n], 1, f"store_{n}", reset_less=False)
            with m.If(store):
                m.d.sync += target.eq(product.total)
        return ended

    def _quads(self, m, begins, row, fours_log2):
        """Every quad of lanes from the one before it, or from its row's first: three cycles each.

        ``begins``: a copy that decides, and one for each half of a quad and of its row's first.
        """
        last, half = self.quads_count - 1, HASH_BITS // 2
        quad, first, base, step, made = (
            Signal(HASH_BITS, name=name, reset_less=True)
            for name in ("quad", "first", "base", "step", "made")
        )
        number = Signal(range(self.quads_count), reset_less=True)
        ends = Signal()
        ended = Signal()
        shows = Signal()
        picks = Signal()
        # The last quad made is the last of all: the others move on, each by a copy of what moves them.
        m.d.sync += made.eq(quad)
        chain = [*self.quads, made]
        for n, moves in enumerate(copies(m, shows, self.quads_count, "makes", reset_less=False)):
            with m.If(moves):
                m.d.sync += chain[n].eq(chain[n + 1])
        with m.Switch(fours_log2):
            for log2 in range(bits_for(FILL_PIXELS // PIXELS) - 1, bits_for(self.config.cols) - 2):
                with m.Case(log2):
                    m.d.comb += ends.eq(number[:log2].all())
        chosen = copies(m, ends, 4, "ends")
        adds = copies(m, picks, 5, "adds", reset_less=False)
        m.d.comb += ended.eq(shows & (number == last))
        m.d.sync += [
            shows.eq(begins[0] | adds[0]),
            picks.eq(shows & ~ended),
            self.made.eq((self.made | ended) & ~self.start),
        ]
        with m.If(begins[0] | adds[0]):
            m.d.sync += number.eq(Mux(begins[0], 0, number + 1))
        total = Signal(HASH_BITS)
        m.d.comb += total.eq(base + step)
        golden = Const(GOLDEN, HASH_BITS)
        for n in range(2):
            part = slice(n * half, (n + 1) * half)
            m.d.sync += [
                base[part].eq(Mux(chosen[n], first[part], quad[part])),
                step[part].eq(Mux(chosen[2 + n], row[part], golden[part])),
            ]
            new = total[part]
            with m.If(begins[1 + n] | adds[1 + n]):
                m.d.sync += quad[part].eq(new & ~begins[1 + n].replicate(half))
            with m.If(begins[3 + n] | (adds[3 + n] & chosen[2 + n])):
                m.d.sync += first[part].eq(new & ~begins[3 + n].replicate(half))
