"""How far the hash inputs of neighbouring elements are apart, along each axis of a tensor in tiles."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.passes import IMAGE_BITS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.hash import GOLDEN, HASH_BITS
from cpt.hw.vector.lane import NOISE_BITS

PIXELS = HASH_BITS // NOISE_BITS
"""Neighbours in a row that share a hash."""
_WIDTHS = {item.name: item.width for item in FORMATS[Code.APPLY]}
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

    start_cycles = 6 * (_FACTOR + 3)

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
        rows_log2 = Signal(range(cols_log2), reset_less=True)
        fours_log2 = Signal(range(cols_log2), reset_less=True)
        m.d.sync += [rows_log2.eq(cols_log2 - shape.pitch_log2), fours_log2.eq(shape.pitch_log2 - 2)]
        row = Signal(HASH_BITS)
        m.d.sync += [self.right.eq(GOLDEN << fours_log2), self.down.eq(row << rows_log2)]

        tiles_down, rest = Signal(_FACTOR), Signal(len(shape.strips) + 1)
        count = Signal(range(_FACTOR + 1))
        height, fours = Signal(_FACTOR), Signal(_FACTOR)
        moved, factor, total = Signal(HASH_BITS), Signal(_FACTOR), Signal(HASH_BITS)
        # The last quad made is the last of all: the others move on, each by a copy of what moves them.
        makes, made = Signal(), Signal(HASH_BITS, reset_less=True)
        m.d.sync += made.eq(total)
        chain = [*self.quads, made]
        for n, moves in enumerate(copies(m, makes, self.quads_count, "makes", reset_less=False)):
            with m.If(moves):
                m.d.sync += chain[n].eq(chain[n + 1])
        with m.FSM():
            with m.State("MADE"):
                m.d.sync += self.made.eq(~self.start)
                with m.If(self.start):
                    m.d.sync += [tiles_down.eq(shape.tiles), rest.eq(0), count.eq(_FACTOR)]
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                # Rows of tiles are tiles by strips, a bit a cycle.
                more = Cat(tiles_down[-1], rest)
                fits = more >= shape.strips
                m.d.sync += [
                    rest.eq(Mux(fits, more - shape.strips, more)),
                    tiles_down.eq(Cat(fits, tiles_down)),
                    count.eq(count - 1),
                ]
                with m.If(count == 1):
                    m.next = "SIZES"
            with m.State("SIZES"):
                in_last = (shape.width + PIXELS - 1) >> 2
                m.d.sync += [
                    height.eq(((tiles_down - 1) << rows_log2) + shape.rows_last + 1),
                    fours.eq(((shape.strips - 1) << fours_log2) + in_last),
                ]
                m.next = "START_ROW"
            first_image, first_group = shape.place[:IMAGE_BITS], shape.place[IMAGE_BITS:]
            in_group = bits_for(self.config.group_channels - 1)
            products = (
                ("ROW", row, GOLDEN, fours, "START_CHANNEL"),
                ("CHANNEL", self.channel, row, height, "START_IMAGE"),
                ("IMAGE", self.image, self.channel, shape.channels, "START_FIRST_GROUP"),
                ("FIRST_GROUP", self.origin, self.channel << in_group, first_group, "START_FIRST_IMAGE"),
                ("FIRST_IMAGE", self.origin, self.image, first_image, "QUADS"),
            )
            for name, target, value, by, following in products:
                with m.State(f"START_{name}"):
                    m.d.sync += [moved.eq(value), factor.eq(by), count.eq(0)]
                    # Images are added to the groups.
                    m.d.sync += total.eq(self.origin if name == "FIRST_IMAGE" else 0)
                    m.next = f"MAKE_{name}"
                with m.State(f"MAKE_{name}"):
                    m.d.sync += [moved.eq(moved << 1), factor.eq(factor >> 1)]
                    with m.If(factor[0]):
                        m.d.sync += total.eq(total + moved)
                    with m.If(factor == 0):
                        m.d.sync += [target.eq(total), moved.eq(0), total.eq(0)]
                        m.next = following
            with m.State("QUADS"):
                # ``total``: of the quad, ``moved``: of its row's first.
                m.d.comb += makes.eq(1)
                ends = Signal()
                with m.Switch(fours_log2):
                    for log2 in range(bits_for(FILL_PIXELS // PIXELS) - 1, cols_log2 - 1):
                        with m.Case(log2):
                            m.d.comb += ends.eq(count[:log2].all())
                m.d.sync += [count.eq(count + 1), total.eq(total + GOLDEN)]
                with m.If(ends):
                    m.d.sync += [moved.eq(moved + row), total.eq(moved + row)]
                with m.If(count == self.quads_count - 1):
                    m.next = "LAST"
            with m.State("LAST"):
                m.next = "MADE"
        return m
